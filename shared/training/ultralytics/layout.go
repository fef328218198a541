package ultralytics

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/training/job"
)

// layOut writes photos and labels as Ultralytics reads them and returns the path
// of their data.yaml. Names are numbers: Ultralytics finds a photo's labels by
// its path, and people's names hold everything.
func layOut(ctx context.Context, dir string, data job.Data) (string, error) {
	val := data.Val
	if len(val) == 0 {
		val = data.Train // Ultralytics refuses to train with nothing held out
	}
	for split, samples := range map[string][]job.Sample{"train": data.Train, "val": val} {
		for _, kind := range []string{"images", "labels"} {
			if err := os.MkdirAll(filepath.Join(dir, kind, split), 0o755); err != nil {
				return "", fmt.Errorf("lay out the data: %w", err)
			}
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(2 * runtime.GOMAXPROCS(0))
		for i, s := range samples {
			g.Go(func() error {
				name := fmt.Sprintf("%07d", i)
				if err := write(ctx, dir, split, name, s); err != nil {
					return fmt.Errorf("lay out photo %s: %w", s.Name, err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return "", err
		}
	}
	// JSON is YAML, and quotes every class's name rightly.
	text, err := json.Marshal(map[string]any{"path": dir, "train": "images/train", "val": "images/val", "names": data.Classes})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "data.yaml")
	return file, os.WriteFile(file, text, 0o600)
}

func write(ctx context.Context, dir, split, name string, s job.Sample) error {
	photo, err := s.Photo(ctx)
	if err != nil {
		return err
	}
	labels, err := rows(photo, s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "images", split, name+strings.ToLower(path.Ext(s.Name))), photo, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "labels", split, name+".txt"), labels, 0o600)
}

// rows are a photo's boxes as YOLO writes them: class, centre and size as shares
// of the displayed photo.
func rows(photo []byte, s job.Sample) ([]byte, error) {
	info, err := imaging.Header(photo)
	if err != nil {
		return nil, err
	}
	w, h := float64(info.W), float64(info.H)
	var text []byte
	for _, b := range s.Boxes {
		text = strconv.AppendInt(text, int64(b.Class), 10)
		for _, v := range []float64{(b.X + b.W/2) / w, (b.Y + b.H/2) / h, b.W / w, b.H / h} {
			text = strconv.AppendFloat(append(text, ' '), v, 'f', 8, 64)
		}
		text = append(text, '\n')
	}
	return text, nil
}
