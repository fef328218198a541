package storage_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Every verb knows the four preconditions: they hold, they fail, and an object
// that is not there has generation 0.
func TestPreconditions(t *testing.T) {
	url := newServer(t, options(t))
	api, up := url+"/storage/v1/b/bench/o", url+"/upload/storage/v1/b/bench/o"
	multipart := "--x\r\nContent-Type: application/json\r\n\r\n{\"name\":%q}\r\n--x\r\nContent-Type: text/plain\r\n\r\nnew\r\n--x--\r\n"
	verbs := map[string]struct {
		reads, infixed bool
		do             func(name, query string) answer
	}{
		"stat": {reads: true, do: func(name, query string) answer { return call(t, "GET", api+"/"+name+"?"+query, "") }},
		"read": {reads: true, do: func(name, query string) answer { return call(t, "GET", api+"/"+name+"?alt=media&"+query, "") }},
		"read as XML": {reads: true, do: func(name, query string) answer {
			return call(t, "GET", url+"/bench/"+name, "", xmlCondition(query))
		}},
		"write as XML": {do: func(name, query string) answer {
			return call(t, "PUT", url+"/bench/"+name, "new", xmlCondition(query))
		}},
		"write": {do: func(name, query string) answer {
			return call(t, "POST", up+"?uploadType=media&name="+name+"&"+query, "new")
		}},
		"write multipart": {do: func(name, query string) answer {
			return call(t, "POST", up+"?uploadType=multipart&"+query, fmt.Sprintf(multipart, name), "Content-Type: multipart/related; boundary=x")
		}},
		"begin a resumable write": {do: func(name, query string) answer {
			return call(t, "POST", up+"?uploadType=resumable&name="+name+"&"+query, "")
		}},
		"patch": {do: func(name, query string) answer {
			return call(t, "PATCH", api+"/"+name+"?"+query, `{"metadata":{"k":"v"}}`)
		}},
		"delete": {do: func(name, query string) answer { return call(t, "DELETE", api+"/"+name+"?"+query, "") }},
		"compose": {do: func(name, query string) answer {
			return call(t, "POST", api+"/"+name+"/compose?"+query, `{"sourceObjects":[{"name":"other"}]}`)
		}},
		"rewrite": {do: func(name, query string) answer {
			return call(t, "POST", api+"/other/rewriteTo/b/bench/o/"+name+"?"+query, "")
		}},
		"copy": {do: func(name, query string) answer {
			return call(t, "POST", api+"/other/copyTo/b/bench/o/"+name+"?"+query, "")
		}},
		"rewrite, of the source": {infixed: true, do: func(name, query string) answer {
			return call(t, "POST", api+"/"+name+"/rewriteTo/b/bench/o/target?"+query, "")
		}},
	}
	upload(t, url, "other", "other")
	for verb, v := range verbs {
		t.Run(verb, func(t *testing.T) {
			for _, c := range []struct {
				condition string
				holds     bool
			}{
				{"GenerationMatch=LIVE", true}, {"GenerationMatch=1", false}, {"GenerationMatch=0", false},
				{"GenerationNotMatch=1", true}, {"GenerationNotMatch=LIVE", false}, {"GenerationNotMatch=0", true},
				{"MetagenerationMatch=1", true}, {"MetagenerationMatch=2", false},
				{"MetagenerationNotMatch=2", true}, {"MetagenerationNotMatch=1", false},
			} {
				live := upload(t, url, "o", "old")["generation"].(string)
				prefix := "if"
				if v.infixed {
					prefix += "Source"
				}
				got := v.do("o", prefix+strings.ReplaceAll(c.condition, "LIVE", live))
				want := http.StatusPreconditionFailed
				if v.reads && strings.Contains(c.condition, "NotMatch") {
					want = http.StatusNotModified
				}
				if (got.status < 300) != c.holds || !c.holds && got.status != want {
					t.Errorf("%s: status %d %s", c.condition, got.status, got.body)
				}
				if now := call(t, "GET", api+"/o", ""); !c.holds && document(t, now)["generation"] != live {
					t.Errorf("%s failed and changed the object: %s", c.condition, now.body)
				}
			}
			bad := v.do("o", "ifGenerationMatch=x&ifSourceGenerationMatch=x")
			if bad.status != http.StatusBadRequest {
				t.Errorf("a condition that is no number: status %d", bad.status)
			}
		})
	}
}

// xmlCondition turns ifGenerationMatch=1 into the header of the XML API.
func xmlCondition(query string) string {
	name, value, _ := strings.Cut(query, "=")
	value, _, _ = strings.Cut(value, "&")
	name = strings.NewReplacer("ifM", "X-Goog-If-M", "ifG", "X-Goog-If-G", "NotMatch", "-Not-Match").Replace(name)
	if !strings.HasSuffix(name, "-Not-Match") {
		name = strings.Replace(name, "Match", "-Match", 1)
	}
	return name + ": " + value
}

func TestGeneration_olderIsGone(t *testing.T) {
	url := newServer(t, options(t))
	old := upload(t, url, "o", "old")["generation"].(string)
	upload(t, url, "o", "new")
	for _, path := range []string{"/storage/v1/b/bench/o/o?generation=", "/storage/v1/b/bench/o/o?alt=media&generation=", "/bench/o?generation="} {
		if got := call(t, "GET", url+path+old, ""); got.status != http.StatusNotFound {
			t.Errorf("%s: status %d, %s", path, got.status, got.body)
		}
	}
	if got := call(t, "DELETE", url+"/storage/v1/b/bench/o/o?generation="+old, ""); got.status != http.StatusNotFound {
		t.Errorf("delete: status %d", got.status)
	}
}
