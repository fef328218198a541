package remote

import "net/netip"

// inner are the address blocks of IANA's special-purpose registries that netip
// has no name for and that are not reachable from everywhere: carriers' own,
// documentation, benchmarks, and those that wrap or translate to IPv4.
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var inner = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// everywhere are the IPv6 addresses that are routed at all.
var everywhere = netip.MustParsePrefix("2000::/3")

func prefixes(text ...string) (out []netip.Prefix) {
	for _, t := range text {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// Public reports whether an address belongs to the open internet: no loopback,
// private, link-local (a cloud's metadata server), multicast or special one,
// written as IPv4, as IPv6, or as IPv4 in IPv6.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !everywhere.Contains(a) {
		return false
	}
	for _, p := range inner {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
