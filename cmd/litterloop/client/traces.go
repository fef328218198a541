package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"google.golang.org/api/cloudtrace/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/shared/telemetry/export"
)

const (
	// traceAge is how long Cloud Trace keeps spans.
	traceAge = 30 * 24 * time.Hour
	// published chooses the traces with a span whose name begins so: passes of the
	// loop, among the detector's countless requests
	// (https://cloud.google.com/trace/docs/trace-filters).
	published = "span:publish"
	// tracePage and tracePages bound what is read: a pass has hundreds of spans.
	tracePage, tracePages = 10, 10
)

var wholeID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Traces reads from Cloud Trace the trace of a whole id; otherwise the newest
// passes of the loop, a hundred at most, until enough are read.
func (c *Client) Traces(ctx context.Context, id string, enough func([]export.Trace) bool) ([]export.Trace, error) {
	opts := []option.ClientOption{option.WithScopes(cloudtrace.TraceReadonlyScope)}
	if c.TraceEmulator != "" {
		opts = []option.ClientOption{option.WithEndpoint(c.TraceEmulator), option.WithoutAuthentication()}
	}
	s, err := cloudtrace.NewService(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("cloud trace client: %w", err)
	}
	if wholeID.MatchString(id) {
		t, err := s.Projects.Traces.Get(c.Project, id).Context(ctx).Do()
		var answer *googleapi.Error
		if errors.As(err, &answer) && answer.Code == http.StatusNotFound {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read trace %s: %w", id, err)
		}
		return export.Traces(cloudSpans(t)), nil
	}
	call := s.Projects.Traces.List(c.Project).Filter(published).View("COMPLETE").OrderBy("start desc").
		StartTime(time.Now().Add(-traceAge).UTC().Format(time.RFC3339)).PageSize(tracePage).Context(ctx)
	var spans []export.Span
	for range tracePages {
		page, err := call.Do()
		if err != nil {
			return nil, fmt.Errorf("list traces: %w", err)
		}
		for _, t := range page.Traces {
			spans = append(spans, cloudSpans(t)...)
		}
		if page.NextPageToken == "" || enough(export.Traces(spans)) {
			break
		}
		call.PageToken(page.NextPageToken)
	}
	return export.Traces(spans), nil
}

// cloudSpans are a trace's spans as the local cloud writes them.
func cloudSpans(t *cloudtrace.Trace) []export.Span {
	var spans []export.Span
	for _, s := range t.Spans {
		l := export.Span{Trace: t.TraceId, Span: spanID(s.SpanId), Parent: spanID(s.ParentSpanId), Name: s.Name, Kind: kind(s),
			Service: s.Labels["service.name"], Error: s.Labels["/error/message"]}
		// A time that cannot be read is one that Cloud Trace does not have.
		l.Start, _ = time.Parse(time.RFC3339Nano, s.StartTime)
		l.End, _ = time.Parse(time.RFC3339Nano, s.EndTime)
		for k, v := range s.Labels {
			if l.Attributes == nil {
				l.Attributes = map[string]any{}
			}
			l.Attributes[k] = v
		}
		spans = append(spans, l)
	}
	return spans
}

func spanID(id uint64) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", id)
}

// kind of a span: Cloud Trace has no word for who publishes, or handles, an
// event; the loop's names tell.
func kind(s *cloudtrace.TraceSpan) string {
	switch {
	case s.Labels["span.kind"] != "":
		return strings.ToLower(s.Labels["span.kind"])
	case strings.HasPrefix(s.Name, "publish "):
		return "producer"
	case s.Labels["event.type"] != "":
		return "consumer"
	case s.Kind == "RPC_SERVER":
		return "server"
	case s.Kind == "RPC_CLIENT":
		return "client"
	}
	return "internal"
}
