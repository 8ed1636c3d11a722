package egress

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGuardListeners: no configuration allows a request to the relay itself.
func TestGuardListeners(t *testing.T) {
	t.Parallel()
	g, err := New(Options{
		Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		Deny: []netip.AddrPort{
			netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("0.0.0.0:9090"), netip.MustParseAddrPort("[::]:9091"),
		},
	})
	require.NoError(t, err)
	for _, a := range []string{
		"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", "0.0.0.0:8080", "[::]:8080", "[64:ff9b::7f00:1]:8080",
		"127.0.0.1:9090", "127.9.9.9:9090", "[::1]:9090", "0.0.0.0:9090", "[::1]:9091", "127.0.0.1:9091",
	} {
		denial := g.check(netip.MustParseAddrPort(a))
		require.NotNil(t, denial, a)
		require.ErrorContains(t, denial, "this relay listens there", a)
		require.NotContains(t, denial.Error(), "network.allow")
	}
	for _, a := range []string{"127.0.0.2:8080", "127.0.0.1:8081", "8.8.8.8:9090"} {
		require.Nil(t, g.check(netip.MustParseAddrPort(a)), a)
	}
	local, err := localAddrs()
	require.NoError(t, err)
	require.NotEmpty(t, local)
	for _, a := range local {
		require.NotNil(t, g.check(netip.AddrPortFrom(a, 9090)), a)
		if a != netip.MustParseAddr("127.0.0.1") {
			require.Nil(t, g.check(netip.AddrPortFrom(a, 8080)), "%s: who listens on one address has no more of them", a)
		}
	}
}

// TestGuardListeners_howeverTheyAreWritten: an IPv4 address within IPv6 is that address.
func TestGuardListeners_howeverTheyAreWritten(t *testing.T) {
	t.Parallel()
	g, err := New(Options{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Deny:  []netip.AddrPort{netip.MustParseAddrPort("[::ffff:127.0.0.1]:8080"), netip.MustParseAddrPort("[::ffff:0.0.0.0]:9090")},
	})
	require.NoError(t, err)
	for _, a := range []string{"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", "127.0.0.1:9090", "127.9.9.9:9090"} {
		require.ErrorContains(t, g.check(netip.MustParseAddrPort(a)), "this relay listens there", a)
	}
}
