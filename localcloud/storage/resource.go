package storage

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// object is the JSON API's object resource.
type object struct {
	Kind               string            `json:"kind"`
	ID                 string            `json:"id"`
	SelfLink           string            `json:"selfLink"`
	MediaLink          string            `json:"mediaLink"`
	Name               string            `json:"name"`
	Bucket             string            `json:"bucket"`
	Generation         int64             `json:"generation,string"`
	Metageneration     int64             `json:"metageneration,string"`
	ContentType        string            `json:"contentType,omitempty"`
	ContentEncoding    string            `json:"contentEncoding,omitempty"`
	ContentDisposition string            `json:"contentDisposition,omitempty"`
	ContentLanguage    string            `json:"contentLanguage,omitempty"`
	CacheControl       string            `json:"cacheControl,omitempty"`
	StorageClass       string            `json:"storageClass"`
	Size               int64             `json:"size,string"`
	MD5Hash            string            `json:"md5Hash,omitempty"`
	CRC32C             string            `json:"crc32c"`
	Etag               string            `json:"etag"`
	ComponentCount     int64             `json:"componentCount,omitempty"`
	TimeCreated        string            `json:"timeCreated"`
	Updated            string            `json:"updated"`
	TimeFinalized      string            `json:"timeFinalized"`
	TimeStorageClass   string            `json:"timeStorageClassUpdated"`
	CustomTime         string            `json:"customTime,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
}

// resource shows o to a client that reached the server at base (scheme and host).
func resource(o *store.Object, base string) *object {
	path := "/storage/v1/b/" + o.Bucket + "/o/" + url.PathEscape(o.Name)
	created := timestamp(o.Created)
	r := &object{
		Kind:               "storage#object",
		ID:                 fmt.Sprintf("%s/%s/%d", o.Bucket, o.Name, o.Generation),
		SelfLink:           base + path,
		MediaLink:          fmt.Sprintf("%s/download%s?generation=%d&alt=media", base, path, o.Generation),
		Name:               o.Name,
		Bucket:             o.Bucket,
		Generation:         o.Generation,
		Metageneration:     o.Metageneration,
		ContentType:        o.ContentType,
		ContentEncoding:    o.ContentEncoding,
		ContentDisposition: o.ContentDisposition,
		ContentLanguage:    o.ContentLanguage,
		CacheControl:       o.CacheControl,
		StorageClass:       o.StorageClass,
		Size:               o.Size,
		CRC32C:             encodeCRC32C(o.CRC32C),
		Etag:               etag(o),
		ComponentCount:     o.Components,
		TimeCreated:        created,
		TimeFinalized:      created,
		TimeStorageClass:   created,
		Updated:            timestamp(o.Updated),
		Metadata:           o.Metadata,
	}
	if r.StorageClass == "" {
		r.StorageClass = "STANDARD"
	}
	if len(o.MD5) > 0 {
		r.MD5Hash = base64.StdEncoding.EncodeToString(o.MD5)
	}
	if !o.CustomTime.IsZero() {
		r.CustomTime = timestamp(o.CustomTime)
	}
	return r
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// etag changes with the generation and the metageneration, as the real one does.
func etag(o *store.Object) string {
	return base64.StdEncoding.EncodeToString(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(o.Generation)), uint64(o.Metageneration)))
}

func encodeCRC32C(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// attributes is what a client may say of an object when it writes or changes it.
// A nil pointer was not said; "" takes the attribute away.
type attributes struct {
	Name               string             `json:"name"`
	ContentType        *string            `json:"contentType"`
	ContentEncoding    *string            `json:"contentEncoding"`
	ContentDisposition *string            `json:"contentDisposition"`
	ContentLanguage    *string            `json:"contentLanguage"`
	CacheControl       *string            `json:"cacheControl"`
	StorageClass       *string            `json:"storageClass"`
	CustomTime         *time.Time         `json:"customTime"`
	Metadata           map[string]*string `json:"metadata"`
	MD5Hash            string             `json:"md5Hash"`
	CRC32C             string             `json:"crc32c"`
}

// applyTo sets what was said; metadata keys that are null go.
func (a *attributes) applyTo(o *store.Object) error {
	for _, f := range []struct {
		said *string
		at   *string
	}{
		{a.ContentType, &o.ContentType}, {a.ContentEncoding, &o.ContentEncoding},
		{a.ContentDisposition, &o.ContentDisposition}, {a.ContentLanguage, &o.ContentLanguage},
		{a.CacheControl, &o.CacheControl}, {a.StorageClass, &o.StorageClass},
	} {
		if f.said != nil {
			*f.at = *f.said
		}
	}
	if a.CustomTime != nil {
		if a.CustomTime.Before(o.CustomTime) {
			return badRequest("invalid", "customTime can not be set to an earlier time")
		}
		o.CustomTime = a.CustomTime.UTC()
	}
	for k, v := range a.Metadata {
		if v == nil {
			delete(o.Metadata, k)
			continue
		}
		if o.Metadata == nil {
			o.Metadata = map[string]string{}
		}
		o.Metadata[k] = *v
	}
	return nil
}

// parseInt64 reads a parameter that must be a whole number not below 0.
func parseInt64(name, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, badRequest("invalidParameter", "%s=%q: not a whole number", name, value)
	}
	return n, nil
}
