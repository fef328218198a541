package service

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documented are the parts of docs/detector.md that match, to be run beside a
// photo and a batch against a service.
func documented(t *testing.T, part string, r running) (dir string, parts []string) {
	t.Helper()
	doc := read(t, "../../../docs/detector.md")
	for _, m := range regexp.MustCompile(part).FindAllSubmatch(doc, -1) {
		parts = append(parts, strings.ReplaceAll(string(m[1]), "localhost:8080", strings.TrimPrefix(r.url, "http://")))
	}
	if len(parts) == 0 {
		t.Fatalf("docs/detector.md shows nothing like %s", part)
	}
	dir = t.TempDir()
	photo := read(t, testdata+"exact.png") // what it is, the bytes tell
	line := fmt.Sprintf("{\"content\": %q}\n", base64.StdEncoding.EncodeToString(photo))
	dirWriter(t, dir)("photo.jpg", photo)
	dirWriter(t, dir)("photos.ndjson", []byte(line+line))
	return dir, parts
}

// Every call of curl that the documentation shows answers with what was found.
func TestDocumentation_curl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip(err)
	}
	dir, calls := documented(t, `(?m)^    (curl .*)$`, start(t, nil))
	for _, call := range calls {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec "+strings.Replace(call, "curl", "curl -sS --fail-with-body", 1))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(curl), "no_proxy=*")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", call, err, out)
		}
		n := 0
		for line := range strings.Lines(string(out)) {
			var a Answer
			if err := json.Unmarshal([]byte(line), &a); err != nil || len(a.Detections) == 0 {
				t.Errorf("%s: %.300s (%v)", call, line, err)
			}
			n++
		}
		if want := 1 + strings.Count(call, "-T photos.ndjson"); n != want {
			t.Errorf("%s: %d answers, want %d", call, n, want)
		}
	}
}
