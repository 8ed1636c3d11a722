package receiver

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bypass names the receivers that are reached without the egress proxy, as NO_PROXY does for curl.
// The zero value names none. It is immutable.
type Bypass struct{ entries []bypassed }

// bypassed is one entry of a Bypass.
type bypassed struct {
	network netip.Prefix // of places that are addresses; not valid: it is a name
	name    string       // the places of this name, and of those below it
	below   bool         // of those below it alone
	port    uint16       // 0: any
}

var errBypass = errors.New("write a name such as internal.example, which stands for those below it too, .internal.example for those alone, " +
	"or an address or a network such as 10.1.0.0/16; a port may follow the name or address")

// ParseBypass reads the entries of a list as network.no_proxy has them. Its error says what an
// entry may be.
func ParseBypass(entries []string) (Bypass, error) {
	var b Bypass
	for _, text := range entries {
		e, err := parseBypassed(text)
		if err != nil {
			return Bypass{}, err
		}
		b.entries = append(b.entries, e)
	}
	return b, nil
}

func parseBypassed(text string) (e bypassed, err error) {
	if e.network, err = netip.ParsePrefix(text); err == nil {
		e.network = unmapPrefix(e.network).Masked()
		return e, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil { // an IPv6 address without brackets has no port
		addr = addr.Unmap()
		e.network = netip.PrefixFrom(addr.WithZone(""), addr.BitLen())
		return e, nil
	}
	host := text
	if colon := strings.LastIndexByte(text, ':'); colon >= 0 && !strings.HasSuffix(text, "]") {
		n, err := strconv.ParseUint(text[colon+1:], 10, 16)
		if err != nil || n == 0 {
			return e, errBypass
		}
		host, e.port = text[:colon], uint16(n)
	}
	host, e.below = strings.CutPrefix(strings.TrimPrefix(host, "*"), ".")
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	name, addr, err := parseHost(bare, bare != host)
	if err != nil || addr.IsValid() && e.below {
		return e, errBypass
	}
	if addr.IsValid() {
		addr = addr.Unmap()
		e.network = netip.PrefixFrom(addr.WithZone(""), addr.BitLen())
		return e, nil
	}
	e.name = strings.TrimSuffix(name, ".")
	return e, nil
}

// Has reports whether p is reached without the proxy. Networks are of places that are addresses:
// what a name leads to says nothing.
func (b Bypass) Has(p Place) bool {
	return slices.ContainsFunc(b.entries, func(e bypassed) bool {
		switch {
		case e.port != 0 && e.port != p.Port:
			return false
		case e.network.IsValid():
			return p.Addr.IsValid() && e.network.Contains(p.Addr.Unmap().WithZone(""))
		case p.Addr.IsValid():
			return false
		}
		name := p.ServerName()
		return name == e.name && !e.below || strings.HasSuffix(name, "."+e.name)
	})
}
