package service_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// call is the Go call of docs/detector.md.
func call() error {
	photo, err := os.Open("photo.jpg")
	if err != nil {
		return err
	}
	defer photo.Close()
	resp, err := http.Post("http://localhost:8080/v1/detect?conf=0.4", "image/jpeg", photo)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Detections []struct {
			Box        [4]float64
			Class      string
			Confidence float64
		}
	}
	return json.NewDecoder(resp.Body).Decode(&answer)
}

// What the documentation shows in Go compiles, because it stands here too.
func TestDocumentation_GoCall(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/detector.md")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("docs/detector.md shows no Go")
	}
	var indented strings.Builder
	for line := range strings.Lines(string(m[1])) {
		indented.WriteString("\t" + line)
	}
	if !strings.Contains(string(self), indented.String()) {
		t.Errorf("docs/detector.md shows\n%s\nwhich is not what is compiled here", &indented)
	}
	_ = call // needs a service
}
