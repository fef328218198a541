package labelformat

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/yolo"
	"github.com/litterloop/litterloop/shared/errs"
)

// readers of label files at a time: most wait for a bucket.
const readers = 32

// yoloLabels is what is known of YOLO labels while they are read.
type yoloLabels struct {
	files   map[string]bool
	photos  []string // files that are photos
	data    yolo.Data
	lists   map[string]bool // list files, which are no labels
	report  dataset.Report
	labelOf map[string]string // by photo
}

func readYOLO(ctx context.Context, t Tree, kind Kind, docs, names []string, p dataset.Policy) (l dataset.Labels, err error) {
	y := yoloLabels{files: make(map[string]bool, len(names)), lists: map[string]bool{}, labelOf: map[string]string{}}
	for _, n := range names {
		if Junk(n) {
			continue
		}
		y.files[n] = true
		if dataset.IsPhotoName(n) {
			y.photos = append(y.photos, n)
		}
	}
	slices.Sort(y.photos)
	if y.data, err = readData(ctx, t, kind, docs); err != nil {
		return l, err
	}
	chosen, err := y.choose(ctx, t)
	if err != nil {
		return l, err
	}
	l.Photos = y.pair(chosen)
	if len(l.Photos) == 0 {
		return l, errs.Permanentf("labels-empty", "the labels name no photo that can be used")
	}
	if len(l.Photos) > p.MaxImages {
		return l, errs.Permanentf("labels-too-large", "labels hold more than %d images: drop them as several batches", p.MaxImages)
	}
	classOf := y.classes(&l)
	if err := y.readLabels(ctx, t, &l, classOf, p); err != nil {
		return l, err
	}
	l.Findings = y.report.Findings()
	return l, nil
}

func readData(ctx context.Context, t Tree, kind Kind, docs []string) (d yolo.Data, err error) {
	text, err := readAll(ctx, t, docs[0])
	if err != nil {
		return d, err
	}
	switch kind {
	case YOLO:
		return yolo.ParseData(text)
	case ClassNames:
		d.Names, err = yolo.ParseNames(text)
		return d, err
	}
	if d.Photos, err = yolo.ParseObjData(text); err != nil {
		return d, err
	}
	if text, err = readAll(ctx, t, docs[1]); err != nil {
		return d, err
	}
	d.Names, err = yolo.ParseNames(text)
	return d, err
}

// choose returns the photos that data.yaml's train, val and test name; where
// these lead nowhere, because they are paths of somebody's machine, all photos.
func (y *yoloLabels) choose(ctx context.Context, t Tree) ([]string, error) {
	chosen := map[string]bool{}
	for _, entry := range y.data.Photos {
		if list, ok := y.resolve(entry, func(n string) bool { return strings.HasSuffix(n, ".txt") && y.files[n] }); ok {
			if y.lists[list] {
				continue
			}
			y.lists[list] = true
			text, err := readAll(ctx, t, list)
			if err != nil {
				return nil, err
			}
			lines, err := yolo.Lines(text)
			if err != nil {
				y.report.Add(dataset.LabelFileBad, fmt.Sprintf("%s: %v", list, err))
				continue
			}
			y.chooseLines(list, lines, chosen)
			continue
		}
		if dir, ok := y.resolve(entry, y.hasPhotos); ok {
			for _, p := range y.photos {
				if dir == "." || strings.HasPrefix(p, dir+"/") {
					chosen[p] = true
				}
			}
		}
	}
	if len(chosen) == 0 {
		return y.photos, nil
	}
	all := make([]string, 0, len(chosen))
	for p := range chosen {
		all = append(all, p)
	}
	slices.Sort(all)
	return all, nil
}

// chooseLines chooses the photos of a list file. One that is not there is named
// as its neighbours turned out to be.
func (y *yoloLabels) chooseLines(list string, lines []string, chosen map[string]bool) {
	var absent []string
	strip := -1 // leading segments that the list's paths have more than ours
	for _, line := range lines {
		if line == "" {
			continue
		}
		near := path.Join(path.Dir(list), line)
		if y.files[near] && dataset.IsPhotoName(near) {
			chosen[near] = true
			continue
		}
		p, ok := y.resolve(line, func(n string) bool { return y.files[n] && dataset.IsPhotoName(n) })
		if !ok {
			absent = append(absent, line)
			continue
		}
		chosen[p] = true
		strip = strings.Count(tidy(line), "/") - strings.Count(p, "/")
	}
	for _, line := range absent {
		name, ok := dataset.CleanName(line)
		if strip < 0 && strings.HasPrefix(name, "data/") { // as Darknet's lists begin
			name = strings.TrimPrefix(name, "data/")
		}
		if strip > 0 {
			segments := strings.Split(tidy(line), "/")
			name, ok = dataset.CleanName(strings.Join(segments[min(strip, len(segments)-1):], "/"))
		}
		if !ok || !dataset.IsPhotoName(name) {
			y.report.Add(dataset.NameUnsafe, fmt.Sprintf("%s: %.200q", list, line))
			continue
		}
		chosen[name] = true
	}
}

// tidy is a path in slashes without what leads out of or to the top.
func tidy(p string) string {
	p = path.Clean(strings.ReplaceAll(p, `\`, "/"))
	for strings.HasPrefix(p, "../") || strings.HasPrefix(p, "/") {
		p = strings.TrimPrefix(strings.TrimPrefix(p, ".."), "/")
	}
	return p
}

// resolve finds what a path of another machine means here: the longest end of it
// that is accepted.
func (y *yoloLabels) resolve(p string, accept func(string) bool) (string, bool) {
	if p == "" {
		return "", false
	}
	for p = tidy(p); ; {
		if accept(p) {
			return p, true
		}
		_, rest, ok := strings.Cut(p, "/")
		if !ok {
			return "", false
		}
		p = rest
	}
}

// hasPhotos tells whether a directory has any.
func (y *yoloLabels) hasPhotos(dir string) bool {
	if dir == "." {
		return len(y.photos) > 0
	}
	i, _ := slices.BinarySearch(y.photos, dir+"/")
	return i < len(y.photos) && strings.HasPrefix(y.photos[i], dir+"/")
}

// pair finds each photo's label file, and adds the photos that label files want
// and that are not there yet.
func (y *yoloLabels) pair(chosen []string) (photos []dataset.LabelledPhoto) {
	users := map[string]string{}
	for _, p := range chosen {
		photos = append(photos, dataset.LabelledPhoto{Name: p, Shares: true})
		for _, label := range labelFiles(p) {
			if !y.files[label] {
				continue
			}
			y.labelOf[p] = label
			if other, shared := users[label]; shared {
				y.report.Add(dataset.LabelFileShared, fmt.Sprintf("%s: %s and %s", label, other, p))
			}
			users[label] = p
			break
		}
	}
	there := make(map[string]bool, len(y.photos))
	for _, p := range y.photos {
		there[stem(p)] = true
	}
	for _, p := range chosen {
		there[stem(p)] = true
	}
	for label := range y.files {
		if _, used := users[label]; used || y.lists[label] || !inLabels(label) {
			continue
		}
		want := photoStem(label)
		if there[want] || slices.Contains(classNames, label) {
			continue
		}
		name := want + dataset.AnyEnding
		y.labelOf[name] = label
		photos = append(photos, dataset.LabelledPhoto{Name: name, Shares: true})
	}
	slices.SortFunc(photos, func(a, b dataset.LabelledPhoto) int { return strings.Compare(a.Name, b.Name) })
	return photos
}

// labelFiles are where the labels of a photo may lie, as trainers look for them
// and tools write them, best first.
func labelFiles(photo string) []string {
	s := stem(photo) + ".txt"
	var all []string
	if i := strings.LastIndex("/"+s, "/images/"); i >= 0 {
		all = append(all, s[:i]+"labels/"+s[i+len("images/"):])
	}
	all = append(all, s, "labels/"+s)
	// Label Studio may write the name as it stands in an address.
	for _, label := range all {
		dir, base := path.Split(label)
		if escaped := dir + url.PathEscape(base); escaped != label {
			all = append(all, escaped)
		}
	}
	return all
}

// inLabels tells of a text file by its directory that it is a photo's labels.
func inLabels(name string) bool {
	if path.Ext(name) != ".txt" {
		return false
	}
	dir := "/" + path.Dir(name) + "/"
	return strings.Contains(dir, "/labels/") || strings.HasPrefix(dir, "/obj_") && strings.Contains(dir, "_data/")
}

// photoStem is the photo of a label file, without its ending.
func photoStem(label string) string {
	s := stem(label)
	if i := strings.LastIndex("/"+s, "/labels/"); i >= 0 {
		return s[:i] + "images/" + s[i+len("labels/"):]
	}
	return s
}

// classes fills l.Classes and returns the index of each class of the labels.
func (y *yoloLabels) classes(l *dataset.Labels) []int {
	to := make([]int, len(y.data.Names))
	for i, name := range y.data.Names {
		if name = strings.TrimSpace(name); name == "" {
			name = fmt.Sprintf("class %d", i)
			y.report.Add(dataset.CategoryNameless, fmt.Sprintf("class %d", i))
		}
		if to[i] = slices.Index(l.Classes, name); to[i] >= 0 {
			y.report.Add(dataset.CategoryDuplicate, fmt.Sprintf("name %q", name))
			continue
		}
		to[i] = len(l.Classes)
		l.Classes = append(l.Classes, name)
	}
	return to
}

// readLabels reads the label files, several at a time; what is found is told in
// the photos' order.
func (y *yoloLabels) readLabels(ctx context.Context, t Tree, l *dataset.Labels, classOf []int, p dataset.Policy) error {
	found := make([]dataset.Report, len(l.Photos))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i := range l.Photos {
		label, ok := y.labelOf[l.Photos[i].Name]
		if !ok {
			continue
		}
		g.Go(func() error {
			text, err := readAll(gctx, t, label)
			if code, _ := errs.Reason(err); code == CodeTextLarge {
				found[i].Add(dataset.LabelFileBad, err.Error())
				return nil
			}
			if err != nil {
				return fmt.Errorf("labels %q: %w", label, err)
			}
			l.Photos[i].Boxes = boxes(text, label, y.data.Keypoints, classOf, &found[i])
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	total := 0
	for i := range found {
		y.report.Merge(found[i].Findings())
		total += len(l.Photos[i].Boxes)
	}
	if total > p.MaxAnnotations {
		return errs.Permanentf("labels-too-large", "labels hold more than %d boxes: drop them as several batches", p.MaxAnnotations)
	}
	return nil
}

func boxes(text []byte, label string, keypoints bool, classOf []int, r *dataset.Report) []dataset.Box {
	rows, faults := yolo.ParseLabels(text, keypoints)
	for _, f := range faults {
		r.Add(f.Code, at(label, f.Line)+f.Note)
	}
	all := make([]dataset.Box, 0, len(rows))
	for _, row := range rows {
		if row.Class >= len(classOf) {
			r.Add(dataset.CategoryUnknown, at(label, row.Line)+fmt.Sprintf("class %d of %d", row.Class, len(classOf)))
			continue
		}
		all = append(all, dataset.Box{Class: classOf[row.Class], X: row.X, Y: row.Y, W: row.W, H: row.H})
	}
	return all
}

func at(label string, line int) string {
	if line == 0 {
		return label + ": "
	}
	return fmt.Sprintf("%s, line %d: ", label, line)
}
