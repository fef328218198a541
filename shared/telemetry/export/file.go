package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// FileEnv names the file that takes spans, for processes that are started by
// another.
const FileEnv = "LITTERLOOP_TRACES_FILE"

// Span is a line of the file.
type Span struct {
	Trace      string         `json:"trace"`
	Span       string         `json:"span"`
	Parent     string         `json:"parent,omitempty"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Service    string         `json:"service"`
	Start      time.Time      `json:"start"`
	End        time.Time      `json:"end"`
	Error      string         `json:"error,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Links      []string       `json:"links,omitempty"` // other traces
}

// maxFile is the size from which a process that opens the file begins anew; the
// one before is kept as FILE.1.
const maxFile = 64 << 20

// spanFile writes spans as JSON lines. Several processes may append to one file:
// each batch is one write.
type spanFile struct {
	mu sync.Mutex
	f  *os.File
}

func openFile(name string) (*spanFile, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("file of spans: %w", err)
	}
	if info, err := os.Stat(name); err == nil && info.Size() > maxFile {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, fmt.Errorf("file of spans: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("file of spans: %w", err)
	}
	return &spanFile{f: f}, nil
}

// ExportSpans implements sdktrace.SpanExporter.
func (s *spanFile) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for _, span := range spans {
		if err := e.Encode(line(span)); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.f.Write(lines.Bytes())
	return err
}

// Shutdown implements sdktrace.SpanExporter.
func (s *spanFile) Shutdown(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Close()
}

func line(s sdktrace.ReadOnlySpan) Span {
	l := Span{
		Trace: s.SpanContext().TraceID().String(), Span: s.SpanContext().SpanID().String(),
		Name: s.Name(), Kind: s.SpanKind().String(), Start: s.StartTime().UTC(), End: s.EndTime().UTC(),
	}
	if s.Parent().IsValid() {
		l.Parent = s.Parent().SpanID().String()
	}
	if s.Status().Code == codes.Error {
		l.Error = s.Status().Description
	}
	for _, a := range s.Attributes() {
		if l.Attributes == nil {
			l.Attributes = map[string]any{}
		}
		l.Attributes[string(a.Key)] = a.Value.AsInterface()
	}
	if v, ok := s.Resource().Set().Value("service.name"); ok {
		l.Service = v.AsString()
	}
	for _, link := range s.Links() {
		l.Links = append(l.Links, link.SpanContext.TraceID().String())
	}
	return l
}

// ReadFile returns the spans of a file in the order in which they ended; none
// when there is no file. A last line that is not whole is left out.
func ReadFile(name string) ([]Span, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read spans: %w", err)
	}
	var spans []Span
	for line := range bytes.Lines(text) {
		var s Span
		if json.Unmarshal(line, &s) == nil && s.Span != "" {
			spans = append(spans, s)
		}
	}
	return spans, nil
}

var _ sdktrace.SpanExporter = (*spanFile)(nil)
