// Package loopback tells requests that name this machine from those of a web page
// whose host name was made to lead here.
package loopback

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Host says whether a Host header names this machine.
func Host(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Origin says the same of the page that made a browser ask; other clients
// send no Origin.
func Origin(origin string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && Host(u.Host)
}
