package store

import (
	"maps"
	"time"
)

// Object is one generation of an object: what Cloud Storage keeps about it, and
// where its bytes lie. A published Object is never changed; Clone it first.
type Object struct {
	Bucket             string            `json:"bucket"`
	Name               string            `json:"name"`
	Generation         int64             `json:"generation"`
	Metageneration     int64             `json:"metageneration"`
	Size               int64             `json:"size"`
	CRC32C             uint32            `json:"crc32c"`
	MD5                []byte            `json:"md5,omitempty"` // none for composed objects
	Components         int64             `json:"components,omitempty"`
	ContentType        string            `json:"content_type,omitempty"`
	ContentEncoding    string            `json:"content_encoding,omitempty"`
	ContentDisposition string            `json:"content_disposition,omitempty"`
	ContentLanguage    string            `json:"content_language,omitempty"`
	CacheControl       string            `json:"cache_control,omitempty"`
	StorageClass       string            `json:"storage_class,omitempty"`
	CustomTime         time.Time         `json:"custom_time,omitzero"`
	Metadata           map[string]string `json:"metadata,omitempty"`
	Created            time.Time         `json:"created"`
	Updated            time.Time         `json:"updated"`

	// Blob names the file that holds the bytes; empty when they follow the
	// object's own record in the journal, from offset on.
	Blob   string `json:"blob,omitempty"`
	offset int64
}

// Clone returns a copy that may be changed.
func (o *Object) Clone() *Object {
	c := *o
	c.Metadata = maps.Clone(o.Metadata)
	return &c
}

// Conditions are the four preconditions of a request. Zero values of the
// pointers mean "not asked for"; a generation of 0 stands for "no such object".
type Conditions struct {
	GenerationMatch, GenerationNotMatch         *int64
	MetagenerationMatch, MetagenerationNotMatch *int64

	// Replace, unless nil, is asked by Put, when the conditions hold, whether a
	// live object may be replaced; its error is Put's.
	Replace func() error
}

// Check compares the conditions with the live object (nil: there is none).
func (c Conditions) Check(o *Object) error {
	var generation, metageneration int64
	if o != nil {
		generation, metageneration = o.Generation, o.Metageneration
	}
	return c.check(generation, metageneration)
}

func (c Conditions) check(generation, metageneration int64) error {
	switch {
	case c.GenerationMatch != nil && *c.GenerationMatch != generation:
		return ErrPrecondition
	case c.MetagenerationMatch != nil && *c.MetagenerationMatch != metageneration:
		return ErrPrecondition
	case c.GenerationNotMatch != nil && *c.GenerationNotMatch == generation:
		return ErrNotModified
	case c.MetagenerationNotMatch != nil && *c.MetagenerationNotMatch == metageneration:
		return ErrNotModified
	}
	return nil
}

// CheckMetageneration compares the conditions with a bucket, which has no
// generations.
func (c Conditions) CheckMetageneration(metageneration int64) error {
	return c.check(0, metageneration)
}
