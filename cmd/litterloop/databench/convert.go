package databench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/models/ultralytics"
	"github.com/litterloop/litterloop/shared/venv"
)

// boxesAnImage of the synthetic labels.
const boxesAnImage = 9

// writeLabels writes COCO labels of so many images, each annotation with a
// polygon of four corners, as labelling tools export them.
func writeLabels(file string, images int) (size int64, err error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprint(w, `{"info": {"description": "synthetic"}, "images": [`)
	comma := func(i int) string {
		if i == 0 {
			return ""
		}
		return ", "
	}
	for i := range images {
		fmt.Fprintf(w, `%s{"id": %d, "width": 1920, "height": 1080, "file_name": "batch_%d/%06d.jpg", "license": null, "date_captured": null}`, comma(i), i, i/1000, i)
	}
	fmt.Fprint(w, `], "annotations": [`)
	for k := range images * boxesAnImage {
		x, y := float64(k*7919%180000)/100, float64(k*104729%100000)/100
		bw, bh := 5+float64(k*31%9000)/100, 5+float64(k*17%7000)/100
		fmt.Fprintf(w, `%s{"id": %d, "image_id": %d, "category_id": %d, "segmentation": [[%.2f, %.2f, %.2f, %.2f, %.2f, %.2f, %.2f, %.2f]], "area": %.4f, "bbox": [%.2f, %.2f, %.2f, %.2f], "iscrowd": 0}`,
			comma(k), k+1, k/boxesAnImage, k%60+1, x, y, x+bw, y, x+bw, y+bh, x, y+bh, bw*bh, x, y, bw, bh)
	}
	fmt.Fprint(w, `], "categories": [`)
	for c := range 60 {
		fmt.Fprintf(w, `%s{"id": %d, "name": "class %d"}`, comma(c), c+1, c)
	}
	fmt.Fprint(w, "]}")
	if err := w.Flush(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// labels makes the input, once, in a directory of its own: the peer reads every
// JSON of one.
func labels(o Options, images int) (dir string, size int64, err error) {
	dir = filepath.Join(o.Work, fmt.Sprintf("labels-%d", images))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", 0, err
	}
	o.Say(fmt.Sprintf("writing labels of %d images", images))
	size, err = writeLabels(filepath.Join(dir, "annotations.json"), images)
	return dir, size, err
}

// ours converts labels by the command that people use.
func (o Options) ours(ctx context.Context, dir string, images int) func(int) (Figures, error) {
	return func(int) (Figures, error) {
		out := filepath.Join(o.Work, "ours")
		defer os.RemoveAll(out)
		f, err := timed(ctx, o.Work, nil, o.Self, "data", "convert", filepath.Join(dir, "annotations.json"), out, "--labels-only")
		if n := count(filepath.Join(out, "labels"), ".txt"); err == nil && n != images {
			err = fmt.Errorf("%d label files of %d", n, images)
		}
		return f, err
	}
}

const convertCOCO = `import sys
from ultralytics.data.converter import convert_coco
convert_coco(labels_dir=sys.argv[1], save_dir=sys.argv[2], use_segments=False, cls91to80=False)
`

// ultralyticsPython is the environment of the recipe that trains with
// Ultralytics: several gigabytes, which one installation serves.
func ultralyticsPython(ctx context.Context, o Options) (string, error) {
	o.Say("Python's environment with Ultralytics")
	return venv.Make(ctx, o.Cache, "ultralytics", ultralytics.Requirements, o.Log)
}

func convert(ctx context.Context, o Options) (Row, error) {
	images := max(int(100_000*o.Scale), 1)
	dir, size, err := labels(o, images)
	if err != nil {
		return Row{}, err
	}
	r := Row{Work: fmt.Sprintf("COCO of %d images, %d annotations (%d MB) to YOLO labels", images, images*boxesAnImage, size/1e6), Reach: "3.5 s, 250 MB"}
	var theirs func(int) (Figures, error)
	if !o.NoPeers {
		python, err := ultralyticsPython(ctx, o)
		if err != nil {
			return Row{}, err
		}
		r.Peer = "Ultralytics 8.4.190 convert_coco"
		theirs = func(int) (Figures, error) {
			out := filepath.Join(o.Work, "theirs")
			defer os.RemoveAll(out)
			f, err := timed(ctx, o.Work, []string{"YOLO_OFFLINE=true", "YOLO_CONFIG_DIR=" + o.Work}, python, "-c", convertCOCO, dir, out)
			if n := count(out, ".txt"); err == nil && n != images {
				err = fmt.Errorf("convert_coco left %d label files of %d", n, images)
			}
			return f, err
		}
	}
	o.Say("converting")
	r.Ours, r.Theirs, err = alternate(o.Rounds, o.ours(ctx, dir, images), theirs)
	r.Met = r.Ours.Wall <= 3.5 && r.Ours.PeakMB <= 250
	return r, err
}

func million(ctx context.Context, o Options) (Row, error) {
	images := max(int(1_000_000*o.Scale), 1)
	dir, size, err := labels(o, images)
	if err != nil {
		return Row{}, err
	}
	defer os.RemoveAll(dir)
	o.Say("converting")
	r := Row{Work: fmt.Sprintf("COCO of %d images, %d annotations (%d MB)", images, images*boxesAnImage, size/1e6), Reach: "40 s, 400 MB"}
	r.Ours, _, err = alternate(1, o.ours(ctx, dir, images), nil)
	r.Met = r.Ours.Wall <= 40 && r.Ours.PeakMB <= 400
	return r, err
}
