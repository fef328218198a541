package server

import (
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Hosts says by which names a server may be called, and from which pages.
//
// Host names are a guard against DNS rebinding: a page whose name is made to
// mean this machine must not read its server. That needs a server that anybody
// on the machine may call, so it is asked of loopback only. Behind Cloud Run
// every request has passed its front end, which knows its own names.
type Hosts struct {
	// Allowed are patterns such as *.example.com or tracking:5000; a pattern
	// without a port allows any. "*" allows every name.
	Allowed []string
	// Fronted is set behind Cloud Run: the front end has judged the name.
	Fronted bool
	// Origins may send changes from a browser: https://example.com. Pages of the
	// server's own and of loopback always may.
	Origins []string
}

// Answers to requests that are refused, as MLflow's.
const (
	badHost   = "Invalid Host header - possible DNS rebinding attack detected"
	badOrigin = "Cross-origin request blocked"
)

// refuse returns why a request is refused; empty when it is not.
func (h Hosts) refuse(r *http.Request) string {
	if !h.Fronted && !h.host(r.Host) {
		return badHost
	}
	if origin := r.Header.Get("Origin"); origin != "" && !h.origin(origin, r.Host) {
		switch r.Method {
		case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
			return badOrigin
		}
	}
	return ""
}

func (h Hosts) host(host string) bool {
	name := hostname(host)
	if ip := net.ParseIP(name); ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsUnspecified()) {
		return true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	for _, pattern := range h.Allowed {
		for _, s := range []string{name, strings.ToLower(host)} {
			if ok, err := path.Match(strings.ToLower(pattern), s); ok && err == nil {
				return true
			}
		}
	}
	return false
}

func (h Hosts) origin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false // "null", of a sandboxed page or a file
	}
	if strings.EqualFold(u.Host, host) {
		return true
	}
	if name := hostname(u.Host); name == "localhost" || net.ParseIP(name).IsLoopback() {
		return true
	}
	for _, allowed := range h.Origins {
		if allowed == "*" || strings.EqualFold(allowed, origin) {
			return true
		}
	}
	return false
}

// allowOrigin tells a browser that the page may read the answer.
func (h Hosts) allowOrigin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && h.origin(origin, r.Host) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS, PATCH")
			w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		}
	}
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}
