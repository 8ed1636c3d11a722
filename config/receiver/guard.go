package receiver

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Guard decides which addresses requests may go to. It judges addresses alone, never names: whoever
// dials resolves first, and dials what was judged, so that a name that changes its address between
// two lookups gains nothing. It is immutable and safe for concurrent use.
type Guard struct {
	special []special
	allow   []netip.Prefix
	nat64   netip.Prefix
	global6 netip.Prefix
}

// special is a range of addresses that no request goes to unless the operator allows it.
type special struct {
	prefix netip.Prefix
	kind   string
}

// DenialError is the error of an address that requests may not go to. Its text names the address,
// which is the operator's to know: Public is for everybody else.
type DenialError struct {
	Addr netip.Addr
	Kind string // what the address is, for example "private"
	Own  bool   // one of the relay's own listeners: no configuration allows it
	By   string // the block of the configuration that could allow it; empty: network
}

// What a denial says before and after the address.
const (
	deniedBefore = "address "
	deniedAfter  = " is not allowed ("
	deniedPublic = "the receiver's address is not allowed"
)

// Bare is the error without advice.
func (d *DenialError) Bare() string {
	return deniedBefore + d.Addr.String() + deniedAfter + d.Kind + ")"
}

func (d *DenialError) Error() string {
	if d.Own {
		return d.Bare()
	}
	return d.Bare() + "; add it to " + cmp.Or(d.By, "network") + ".allow"
}

// PublicError returns what a tenant may read of an attempt's error. The addresses that a name has
// inside the operator's network, and what listens there, are the operator's to know; the rest of an
// error says nothing of them.
func PublicError(text string) string {
	at := strings.Index(text, deniedBefore)
	if at >= 0 && strings.Contains(text[at:], deniedAfter) {
		return text[:at] + deniedPublic
	}
	return text
}

// Public says the same without the address.
func (d *DenialError) Public() string { return deniedPublic }

// NewGuard makes a Guard that allows, beside public addresses, those of allow.
func NewGuard(allow []netip.Prefix) (*Guard, error) {
	g := &Guard{
		special: specialRanges(),
		nat64:   netip.MustParsePrefix("64:ff9b::/96"),
		global6: netip.MustParsePrefix("2000::/3"),
	}
	for _, p := range allow {
		if !p.IsValid() {
			return nil, errors.New("network.allow holds an invalid prefix")
		}
		g.allow = append(g.allow, unmapPrefix(p))
	}
	return g, nil
}

// specialRanges follows the IANA special-purpose registries; the first match names the range. IPv6
// needs only those inside 2000::/3 and the ones whose name helps a person: everything else outside
// it is refused as reserved.
func specialRanges() []special {
	var out []special
	for _, s := range []struct{ kind, prefix string }{
		{"metadata", "169.254.169.254/32"},
		{"metadata", "168.63.129.16/32"}, // Azure's host, a public address in name only
		{"metadata", "100.100.100.200/32"},
		{"metadata", "192.0.0.192/32"},
		{"unspecified", "0.0.0.0/32"},
		{"reserved", "0.0.0.0/8"},
		{"private", "10.0.0.0/8"},
		{"shared, carrier-grade NAT", "100.64.0.0/10"},
		{"loopback", "127.0.0.0/8"},
		{"link-local", "169.254.0.0/16"},
		{"private", "172.16.0.0/12"},
		{"reserved", "192.0.0.0/24"},
		{"documentation", "192.0.2.0/24"},
		{"reserved", "192.31.196.0/24"},
		{"reserved", "192.52.193.0/24"},
		{"reserved", "192.88.99.0/24"},
		{"private", "192.168.0.0/16"},
		{"reserved", "192.175.48.0/24"},
		{"benchmarking", "198.18.0.0/15"},
		{"documentation", "198.51.100.0/24"},
		{"documentation", "203.0.113.0/24"},
		{"multicast", "224.0.0.0/4"},
		{"broadcast", "255.255.255.255/32"},
		{"reserved", "240.0.0.0/4"},

		{"unspecified", "::/128"},
		{"loopback", "::1/128"},
		{"metadata", "fd00:ec2::254/128"},
		{"metadata", "fd20:ce::254/128"},
		{"NAT64 for local use", "64:ff9b:1::/48"},
		{"Teredo", "2001::/32"},
		{"benchmarking", "2001:2::/48"},
		{"reserved", "2001::/23"},
		{"documentation", "2001:db8::/32"},
		{"reserved", "2620:4f:8000::/48"},
		{"documentation", "3fff::/20"},
		{"private", "fc00::/7"},
		{"link-local", "fe80::/10"},
		{"private", "fec0::/10"},
		{"multicast", "ff00::/8"},
	} {
		out = append(out, special{netip.MustParsePrefix(s.prefix), s.kind})
	}
	return out
}

// Check returns a DenialError if no request may go to addr, or to an address that it stands for;
// nil if one may.
func (g *Guard) Check(addr netip.Addr) *DenialError {
	bare := Plain(addr)
	if kind, denied := g.judge(bare); denied {
		return &DenialError{Addr: addr, Kind: kind}
	}
	for _, inner := range Embedded(bare) {
		if kind, denied := g.judge(inner); denied {
			return &DenialError{Addr: addr, Kind: fmt.Sprintf("stands for %s, %s", inner, kind)}
		}
	}
	return nil
}

// judge looks at addr alone, not at what it may embed.
func (g *Guard) judge(addr netip.Addr) (kind string, denied bool) {
	for _, p := range g.allow {
		if p.Contains(addr) {
			return "", false
		}
	}
	for _, s := range g.special {
		if s.prefix.Contains(addr) {
			return s.kind, true
		}
	}
	if addr.Is6() && !g.global6.Contains(addr) && !g.nat64.Contains(addr) {
		return "reserved", true
	}
	return "", false
}

// Plain is addr as it is compared: without a zone, and an IPv4-mapped address as the IPv4 address
// it is.
func Plain(addr netip.Addr) netip.Addr {
	return addr.WithZone("").Unmap()
}

// unmapPrefix turns a prefix of IPv4-mapped addresses into the IPv4 prefix that it means.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	const mapped = 96
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped).Masked()
	}
	return p.Masked()
}

// Embedded lists the IPv4 addresses that an IPv6 address stands for in one of the transition
// mechanisms: a router on the way may send to them what was sent to it.
func Embedded(addr netip.Addr) []netip.Addr {
	if !addr.Is6() {
		return nil
	}
	b := addr.As16()
	four := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }
	var out []netip.Addr
	switch {
	case b[0] == 0x20 && b[1] == 0x02: // 6to4, 2002::/16
		out = append(out, four(2))
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0: // Teredo, 2001::/32: its server and, inverted, its client
		client := [4]byte{^b[12], ^b[13], ^b[14], ^b[15]}
		out = append(out, four(4), netip.AddrFrom4(client))
	case b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b: // NAT64, 64:ff9b::/96 and 64:ff9b:1::/48
		out = append(out, four(12))
	case [8]byte(b[:8]) == [8]byte{} && !addr.IsUnspecified() && !addr.IsLoopback(): // IPv4-compatible and -translated
		out = append(out, four(12))
	}
	if (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP, any prefix
		out = append(out, four(12))
	}
	return out
}
