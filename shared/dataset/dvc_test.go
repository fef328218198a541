package dataset

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The listing that DVC 3.67 itself makes of the same files.
func TestDirListing_asDVC(t *testing.T) {
	var files []File
	for name, content := range map[string]string{
		"images/a.jpg": "\xff\xd8jpegA", "images/b ü 漢😀.jpg": "\xff\xd8jpegB", "labels/a.txt": "0 0.5 0.5 1 1\r\n",
		"labels/empty.txt": "", "data.yaml": "names: [x]\n", "dup/a.jpg": "\xff\xd8jpegA", "q\"uo\\te&<>\x7f.txt": "odd",
	} {
		files = append(files, File{Path: name, MD5: MD5Hex([]byte(content))})
	}
	const want = `[{"md5": "5113fc5bccde615a7e38fcefae5d4389", "relpath": "data.yaml"}, {"md5": "8156636619053e20694643a948c5abb6", "relpath": "dup/a.jpg"}, {"md5": "8156636619053e20694643a948c5abb6", "relpath": "images/a.jpg"}, {"md5": "f17155bf781b2598b07e61d875fa876f", "relpath": "images/b \u00fc \u6f22\ud83d\ude00.jpg"}, {"md5": "e8270bd29554a41e8ce41e29e59126f3", "relpath": "labels/a.txt"}, {"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "labels/empty.txt"}, {"md5": "a2b6f2a6066ed8700d83335fc50a2b8e", "relpath": "q\"uo\\te&<>\u007f.txt"}]`
	got := string(DirListing(files))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := MD5Hex([]byte(got)); got != "b7ae976dbb639a3450069cbe0a19d1b3" {
		t.Errorf("MD5 %s", got)
	}
}

func TestDVCPointer(t *testing.T) {
	want := "outs:\n- md5: 0123.dir\n  size: 7\n  nfiles: 2\n  hash: md5\n  path: dataset\n"
	if d := cmp.Diff(want, string(DVCPointer("0123", 7, 2, "dataset"))); d != "" {
		t.Error(d)
	}
}

func TestDataYAML(t *testing.T) {
	got, err := DataYAML([]string{"Can", `a "b" & <ü>: #`})
	if err != nil {
		t.Fatal(err)
	}
	want := "train: images/train\nval: images/val\nnc: 2\nnames:\n  0: \"Can\"\n  1: \"a \\\"b\\\" & <ü>: #\"\n"
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}
