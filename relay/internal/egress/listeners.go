package egress

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/tailpost/tailpost/config/receiver"
)

// listeners are the relay's own, with every address that reaches them.
type listeners []netip.AddrPort

func newListeners(deny []netip.AddrPort) (listeners, error) {
	var out listeners
	var local []netip.Addr
	for _, l := range deny {
		addr := receiver.Plain(l.Addr())
		out = append(out, netip.AddrPortFrom(addr, l.Port()))
		if !addr.IsUnspecified() {
			continue
		}
		if local == nil {
			var err error
			if local, err = localAddrs(); err != nil {
				return nil, err
			}
		}
		for _, a := range local {
			out = append(out, netip.AddrPortFrom(a, l.Port()))
		}
	}
	return out, nil
}

// contain knows that the unspecified address reaches the machine itself.
func (l listeners) contain(addr netip.Addr, port uint16) bool {
	for _, own := range l {
		if own.Port() != port {
			continue
		}
		if own.Addr() == addr || addr.IsUnspecified() || own.Addr().IsUnspecified() && addr.IsLoopback() {
			return true
		}
	}
	return false
}

// localAddrs lists the machine's own addresses: what a listener on all addresses listens on.
func localAddrs() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the machine's addresses: %w", err)
	}
	var out []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, receiver.Plain(p.Addr()))
		}
	}
	return out, nil
}
