package databench

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/validation"
)

// distinct photos stand for all: what decoding and checking take does not depend
// on whether another photo was the same.
const distinct = 50

// photos returns JPEGs of about 4 MB: those of a directory that are 2 to 8 MB,
// or drawn ones of 12 megapixels with the grain of a camera.
func photos(o Options) ([][]byte, error) {
	var all [][]byte
	if o.Photos == "" {
		for i := range 8 {
			all = append(all, drawn(uint64(i)))
		}
		return all, nil
	}
	err := filepath.WalkDir(o.Photos, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || len(all) == distinct {
			return err
		}
		data, err := os.ReadFile(p)
		if ending := strings.ToLower(filepath.Ext(p)); ending == ".jpg" && len(data) > 2e6 && len(data) < 8e6 {
			all = append(all, data)
		}
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s holds no JPEG of 2 to 8 MB", o.Photos)
	}
	return all, err
}

func drawn(seed uint64) []byte {
	const w, h = 4000, 3000
	r := rand.New(rand.NewPCG(seed, 7))
	im := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for y := range h {
		for x := range w {
			im.Y[y*im.YStride+x] = byte(40 + (x+y*int(seed+1))/60%120 + int(r.Uint32()%24))
		}
	}
	for i := range im.Cb {
		im.Cb[i], im.Cr[i] = byte(120+i/9000%20), byte(128)
	}
	im.Y[im.YOffset(0, 0)] = color.Gray{Y: byte(seed)}.Y
	var out bytes.Buffer
	if err := jpeg.Encode(&out, im, &jpeg.Options{Quality: 90}); err != nil {
		panic(err) // writing to memory does not fail
	}
	return out.Bytes()
}

// validate checks a version of which nothing was measured before: every photo is
// read from a bucket, hashed, decoded, looked at, and the report is written.
func validate(ctx context.Context, o Options) (Row, error) {
	content, err := photos(o)
	if err != nil {
		return Row{}, err
	}
	n := max(int(1500*o.Scale), 1)
	b := blobmem.New("datasets")
	v := dataset.Version{Schema: 1, ID: "bench", Sequence: 1, Classes: []string{"Can"}, PerClass: []int{n}, Counts: dataset.Counts{Photos: n, Boxes: n}, Splits: map[dataset.Split]dataset.Counts{dataset.Train: {Photos: n, Boxes: n}}}
	var lines bytes.Buffer
	var bytesInAll int64
	for i := range n {
		data := content[i%len(content)]
		bytesInAll += int64(len(data))
		info, err := imaging.Header(data)
		if err != nil {
			return Row{}, err
		}
		md5 := dataset.MD5Hex(data)
		if i < len(content) {
			if _, err := b.Write(ctx, dataset.ContentObject(md5), bytes.NewReader(data), blob.WriteOptions{}); err != nil {
				return Row{}, err
			}
		}
		fmt.Fprintf(&lines, `{"path":"images/train/%06d.jpg","md5":%q,"size":%d,"width":%d,"height":%d,"split":"train","batch":"b","boxes":[{"class":0,"x":10,"y":10,"w":300,"h":300}]}`+"\n", i, md5, len(data), info.W, info.H)
	}
	if _, err := b.Write(ctx, dataset.VersionObject(v.ID, dataset.PhotosFile), &lines, blob.WriteOptions{}); err != nil {
		return Row{}, err
	}
	r := Row{
		Work: fmt.Sprintf("validate %d photos of %.1f MB, all checks", n, float64(bytesInAll)/float64(n)/1e6),
		Peer: imaging.Backend() + "'s decode of the same photos", Reach: "1.2 times it",
	}
	o.Say(fmt.Sprintf("validating %d photos", n))
	policy := validation.DefaultPolicy()
	r.Ours, r.Theirs, err = alternate(o.Rounds, func(round int) (Figures, error) {
		policy.MinTrain = round // another policy each time: what is validated is not validated again
		return inProcess(func() error {
			_, err := validation.Run(ctx, b, v, policy, time.Now)
			return err
		})
	}, func(int) (Figures, error) { return inProcess(func() error { return decode(ctx, content, n) }) })
	if err != nil {
		return r, err
	}
	ratio := r.Ours.CPU / r.Theirs.CPU
	r.Met = ratio <= 1.2
	r.Remarks = []string{fmt.Sprintf("%.2f times the decode's processor time, %.2f times its wall time", ratio, r.Ours.Wall/r.Theirs.Wall)}
	return r, nil
}

// decode decodes every photo on all cores, into memory that is used again.
func decode(ctx context.Context, content [][]byte, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	for part := range slices.Chunk(slices.Collect(upTo(n)), (n+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			var im imaging.Image
			for _, i := range part {
				if err := imaging.DecodeInto(&im, content[i%len(content)], imaging.Options{}); err != nil {
					return err
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func upTo(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}
