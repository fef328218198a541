package directory

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/archive"
	"github.com/litterloop/litterloop/shared/dataset/dvcdrop"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
)

// source is labelled photos on disk: files of a root by their names in the data
// set.
type source struct {
	files map[string]string // by name, composed; on disk
	root  string            // of photos that are not among the files; may be empty
	found []dataset.Finding
}

// open finds out what lies at p: COCO labels, a data.yaml, an archive, or a
// directory with either or with what `dvc push` wrote. scratch is a directory
// for what has to be unpacked; skip is one that is not looked into.
func open(ctx context.Context, p, scratch, skip string, policy dataset.Policy) (*source, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openDir(p, skip)
	}
	if format, ok := archive.FormatOf(p); ok {
		return unpack(ctx, p, format, scratch, policy)
	}
	name := filepath.Base(p)
	if labelformat.IsYOLORoot(name) {
		s, err := openDir(filepath.Dir(p), skip)
		if err == nil {
			for n := range s.files { // these labels were asked for, not others beside them
				if labelformat.IsCOCO(n) || labelformat.IsYOLORoot(n) && n != name {
					delete(s.files, n)
				}
			}
		}
		return s, err
	}
	return beside(p, filepath.Dir(p)), nil
}

// beside are COCO labels and the photos beside them, looked up one by one.
func beside(labels, dir string) *source {
	s := &source{files: map[string]string{dataset.LabelsFile: labels}, root: dir}
	if classes := filepath.Join(dir, dataset.ClassMapFile); exists(classes) {
		s.files[dataset.ClassMapFile] = classes
	}
	return s
}

func openDir(dir, skip string) (*source, error) {
	s := &source{files: map[string]string{}}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file == skip || file != dir && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, file)
		if err == nil {
			s.files[norm.NFC.String(filepath.ToSlash(rel))] = file
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, _, ok := labelformat.Find(s.Names()); !ok {
		if pointers, err := filepath.Glob(filepath.Join(dir, "*.dvc")); err == nil && len(pointers) == 1 {
			return s, s.pushed(dir, pointers[0])
		}
	}
	s.unnest()
	return s, nil
}

// unnest makes the one directory that everything lies in the root.
func (s *source) unnest() {
	dir := labelformat.Nested(s.Names())
	if dir == "" {
		return
	}
	below := make(map[string]string, len(s.files))
	for n, file := range s.files {
		below[strings.TrimPrefix(n, dir)] = file
	}
	s.files = below
}

// pushed makes the files those that a .dvc file points to, in a directory that
// is laid out as DVC's remote.
func (s *source) pushed(dir, pointer string) error {
	text, err := os.ReadFile(pointer)
	if err != nil {
		return err
	}
	md5, err := dvcdrop.ParsePointer(text)
	if err != nil {
		return err
	}
	listing, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(dvcdrop.ListingObject(md5))))
	if err != nil {
		return err
	}
	files, unsafe, err := dvcdrop.ParseListing(listing, md5)
	if err != nil {
		return err
	}
	s.files = make(map[string]string, len(files))
	for n, md5 := range files {
		s.files[n] = filepath.Join(dir, filepath.FromSlash(dataset.ContentObject(md5)))
	}
	var r dataset.Report
	for _, n := range unsafe {
		r.Add(dataset.NameUnsafe, n)
	}
	s.found = r.Findings()
	s.unnest()
	return nil
}

// Names implements labelformat.Tree.
func (s *source) Names() []string {
	names := make([]string, 0, len(s.files))
	for n := range s.files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Open implements labelformat.Tree.
func (s *source) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(s.files[name])
}

// photos returns the file of each photo that labels name, by its Key.
func (s *source) photos(l dataset.Labels) map[string]string {
	found := make(map[string]string, len(l.Photos))
	finder := l.Finder()
	rank := map[string]int{}
	for _, n := range s.Names() {
		if key, r, ok := finder.Find(n); ok {
			if best, have := rank[key]; !have || r < best {
				found[key], rank[key] = s.files[n], r
			}
		}
	}
	if s.root == "" {
		return found
	}
	top, _ := s.top()
	for _, p := range l.Photos {
		for _, name := range finder.Candidates(p.Key()) {
			if first, _, _ := strings.Cut(name, "/"); !top[first] {
				continue
			}
			if file := onDisk(s.root, name); file != "" {
				found[p.Key()] = file
				break
			}
		}
	}
	return found
}

// top are the names in the root: they spare looking for what no directory there
// can hold.
func (s *source) top() (map[string]bool, error) {
	entries, err := os.ReadDir(s.root)
	top := make(map[string]bool, len(entries))
	for _, e := range entries {
		top[norm.NFC.String(e.Name())] = true
	}
	return top, err
}

// onDisk is the file of a name below root, "" when there is none; on a Mac
// accents may stand apart in it.
func onDisk(root, name string) string {
	file := filepath.Join(root, filepath.FromSlash(name))
	if exists(file) {
		return file
	}
	if apart := norm.NFD.String(name); apart != name {
		if file = filepath.Join(root, filepath.FromSlash(apart)); exists(file) {
			return file
		}
	}
	return ""
}

func exists(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

// unpack unpacks what may be labels or photos of an archive into scratch, under
// names that any file system takes.
func unpack(ctx context.Context, p string, format archive.Format, scratch string, policy dataset.Policy) (*source, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(scratch, 0o777); err != nil {
		return nil, err
	}
	s := &source{files: map[string]string{}}
	var r dataset.Report
	found, err := archive.Walk(ctx, archive.Source{Format: format, Reader: f, Size: info.Size()}, 0, archive.LimitsOf(policy), func(m archive.Member, body io.Reader) error {
		if labelformat.Junk(m.Name) || !dataset.IsPhotoName(m.Name) && !archive.IsText(m.Name) {
			return nil
		}
		if _, again := s.files[m.Name]; again {
			r.Add(dataset.MemberDuplicate, m.Name)
		}
		file := filepath.Join(scratch, filepath.FromSlash(shard(m.Index)))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return err
		}
		if err := store(file, io.LimitReader(body, archive.MaxBytes(m.Name, policy)+1)); err != nil {
			return err
		}
		s.files[m.Name] = file
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Merge(found)
	s.found = r.Findings()
	s.unnest()
	return s, nil
}

func store(file string, body io.Reader) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, body)
	return errors.Join(err, out.Close())
}
