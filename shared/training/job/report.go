package job

import (
	"bytes"
	"context"
	"mime"
	"path"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/training"
)

// reportDir holds, among a run's artifacts, what people look at.
const reportDir = "report/"

// explain writes how good the model is, and where it fails, into the run's
// artifacts; nothing of a version that holds no photos out. It comes before
// the package, whose presence says that the training is over.
func (w *worker) explain(ctx context.Context, v dataset.Version, data Data, held []dataset.Photo) error {
	if len(held) == 0 {
		return nil
	}
	trained := make([]int, len(v.Classes))
	for _, s := range data.Train {
		for _, b := range s.Boxes {
			trained[b.Class]++
		}
	}
	files, err := w.Report(ctx, v.Classes, trained, truths(held, w.answers, nil), func(ctx context.Context, i int) ([]byte, error) {
		return data.Val[i].Photo(ctx)
	})
	if err != nil {
		return err
	}
	for name, content := range files {
		object := training.Artifacts(w.Model, w.t.Run) + reportDir + name
		if _, err := w.Models.Write(ctx, object, bytes.NewReader(content), blob.WriteOptions{IfGeneration: blob.Any, ContentType: mime.TypeByExtension(path.Ext(name))}); err != nil {
			return err
		}
	}
	return nil
}
