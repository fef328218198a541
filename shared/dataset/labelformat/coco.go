package labelformat

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
)

// readCOCO reads COCO labels, several files of a subset each as one.
func readCOCO(ctx context.Context, t Tree, docs []string, p dataset.Policy) (l dataset.Labels, err error) {
	var parts []dataset.Labels
	var subsets []string
	var empty error
	for _, doc := range docs {
		part, err := readOneCOCO(ctx, t, doc, p)
		if code, _ := errs.Reason(err); code == "labels-empty" {
			empty = err
			continue
		}
		if err != nil {
			if len(docs) > 1 {
				errs.Wrap(&err, "%s", doc)
			}
			return l, err
		}
		parts = append(parts, part)
		subsets = append(subsets, subset(doc))
	}
	if len(parts) == 0 {
		return l, empty
	}
	l = merge(parts, subsets)
	for _, s := range subsets {
		if s != "" {
			l.Roots = append(l.Roots, "images/"+s+"/", s+"/")
		}
	}
	l.Roots = append(l.Roots, "images/")
	return l, nil
}

func readOneCOCO(ctx context.Context, t Tree, doc string, p dataset.Policy) (dataset.Labels, error) {
	r, err := t.Open(ctx, doc)
	if err != nil {
		return dataset.Labels{}, err
	}
	f, err := coco.Read(r, coco.Limits{Images: p.MaxImages, Annotations: p.MaxAnnotations, Bytes: p.MaxLabelBytes})
	if err := errors.Join(err, r.Close()); err != nil {
		return dataset.Labels{}, cmp.Or(onlyPermanent(err), err)
	}
	for i := range f.Images {
		f.Images[i].FileName = Uploaded(f.Images[i].FileName)
	}
	return dataset.FromCOCO(f)
}

// onlyPermanent is the permanent error within err, nil when there is none: what
// closing says of a file that was not read to its end is no news.
func onlyPermanent(err error) error {
	var p *errs.PermanentError
	if errors.As(err, &p) {
		return p
	}
	return nil
}

// subset is the SUBSET of annotations/instances_SUBSET.json.
func subset(doc string) string {
	s, ok := strings.CutPrefix(doc, "annotations/instances_")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(s, ".json")
}

// Uploaded turns the address that Label Studio has of a photo, where it did not
// export the photo itself, into the photo's name.
func Uploaded(name string) string {
	if scheme, _, ok := strings.Cut(name, "://"); ok && scheme != "" && !strings.ContainsAny(scheme, `/\ `) {
		if u, err := url.Parse(name); err == nil {
			return path.Base(path.Join("/", cmp.Or(u.Query().Get("d"), u.Path)))
		}
		return path.Base(name)
	}
	rooted := "/" + strings.TrimPrefix(name, "/")
	switch {
	case strings.HasPrefix(rooted, "/data/local-files/?d="):
		if decoded, err := url.QueryUnescape(strings.TrimPrefix(rooted, "/data/local-files/?d=")); err == nil {
			return path.Base(decoded)
		}
	case strings.HasPrefix(rooted, "/data/upload/"), strings.HasPrefix(rooted, "/upload/"):
		if decoded, err := url.PathUnescape(path.Base(rooted)); err == nil {
			return decoded
		}
	}
	return name
}

// merge makes one of several. A photo's name that several subsets have gets the
// subset before it.
func merge(parts []dataset.Labels, subsets []string) dataset.Labels {
	if len(parts) == 1 {
		return parts[0]
	}
	times := map[string]int{}
	for _, part := range parts {
		for _, p := range part.Photos {
			times[p.Name]++
		}
	}
	var l dataset.Labels
	var r dataset.Report
	for i, part := range parts {
		r.Merge(part.Findings)
		to := make([]int, len(part.Classes))
		for c, name := range part.Classes {
			if to[c] = slices.Index(l.Classes, name); to[c] < 0 {
				to[c] = len(l.Classes)
				l.Classes = append(l.Classes, name)
			}
		}
		for _, p := range part.Photos {
			if times[p.Name] > 1 && subsets[i] != "" {
				p.Name = subsets[i] + "/" + p.Name
			}
			for b := range p.Boxes {
				p.Boxes[b].Class = to[p.Boxes[b].Class]
			}
			l.Photos = append(l.Photos, p)
		}
	}
	slices.SortStableFunc(l.Photos, func(x, y dataset.LabelledPhoto) int { return strings.Compare(x.Name, y.Name) })
	l.Findings = r.Findings()
	return l
}
