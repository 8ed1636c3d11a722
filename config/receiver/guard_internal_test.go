package receiver

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func testGuard(t *testing.T, allow ...string) *Guard {
	t.Helper()
	var prefixes []netip.Prefix
	for _, p := range allow {
		prefixes = append(prefixes, netip.MustParsePrefix(p))
	}
	g, err := NewGuard(prefixes)
	require.NoError(t, err)
	return g
}

// refusal returns what g says about addr; empty: nothing against it.
func refusal(g *Guard, addr netip.Addr) string {
	if d := g.Check(addr); d != nil {
		return d.Error()
	}
	return ""
}

// specials holds the first, a middle and the last address of every special range, with the name it
// is refused by.
func specials() map[string][]string {
	return map[string][]string{
		"unspecified":               {"0.0.0.0", "::"},
		"loopback":                  {"127.0.0.1", "127.255.255.255", "::1"},
		"private":                   {"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255", "fc00::", "fdff:ffff::1", "fec0::1"},
		"link-local":                {"169.254.0.0", "169.254.255.255", "fe80::", "febf:ffff::1", "fe80::1%eth0"},
		"metadata":                  {"169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"},
		"shared, carrier-grade NAT": {"100.64.0.0", "100.127.255.255"},
		"reserved":                  {"0.0.0.1", "0.255.255.255", "192.0.0.0", "192.0.0.255", "192.88.99.1", "240.0.0.0", "255.255.255.254", "2001:10::", "2001:1ff::1", "100::1", "4000::1", "5f00::1", "::2:0:0:0:1", "::ffff:0:8.8.8.8"},
		"benchmarking":              {"198.18.0.0", "198.19.255.255", "2001:2::1"},
		"documentation":             {"192.0.2.0", "192.0.2.255", "198.51.100.7", "203.0.113.255", "2001:db8::", "2001:db8:ffff::1", "3fff::1", "3fff:fff::1"},
		"multicast":                 {"224.0.0.0", "239.255.255.255", "ff00::", "ff02::1", "ffff::"},
		"broadcast":                 {"255.255.255.255"},
		"Teredo":                    {"2001:0:4136:e378:8000:63bf:3fff:fdd2"},
		"NAT64 for local use":       {"64:ff9b:1::808:808", "64:ff9b:1:ffff::1"},
	}
}

func public() []string {
	return []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "2001:200::1", "2001:4860::1",
		"2003::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2a00::5efe:808:808", "2a00::200:5efe:808:808",
		// All but one number of what stands for a private address:
		"2003:a00:1::1", "2a01:0:a00:1::1", "2064:ff9b::a00:1", "2a00::1:5efe:a00:1", "2a00::100:5efe:a00:1", "2a00::5ffe:a00:1", "2a00::12fe:a00:1", "2a00::5eff:a00:1",
	}
}

func TestGuardRefusesEverySpecialRange(t *testing.T) {
	t.Parallel()
	g := testGuard(t)
	for kind, addrs := range specials() {
		for _, a := range addrs {
			addr := netip.MustParseAddr(a)
			require.Equal(t, "address "+addr.String()+" is not allowed ("+kind+"); add it to network.allow", refusal(g, addr), a)
		}
	}
	for _, a := range public() {
		require.Empty(t, refusal(g, netip.MustParseAddr(a)), a)
	}
}

// wrappers lists the ways in which an IPv6 address can stand for an IPv4 one.
func wrappers(a netip.Addr) map[string]netip.Addr {
	b := a.As4()
	out := map[string]netip.Addr{}
	put := func(name string, prefix [12]byte) {
		out[name] = netip.AddrFrom16([16]byte(append(prefix[:], b[:]...)))
	}
	put("mapped", [12]byte{10: 0xff, 11: 0xff})
	put("compatible", [12]byte{})
	put("translated", [12]byte{8: 0xff, 9: 0xff})
	put("NAT64", [12]byte{0, 0x64, 0xff, 0x9b})
	put("local NAT64", [12]byte{0, 0x64, 0xff, 0x9b, 0, 1})
	put("ISATAP", [12]byte{0x2a, 0, 0x14, 0x50, 8: 0, 9: 0, 10: 0x5e, 11: 0xfe})
	put("ISATAP, global bit", [12]byte{0x2a, 0, 0x14, 0x50, 8: 2, 9: 0, 10: 0x5e, 11: 0xfe})
	out["6to4"] = netip.AddrFrom16([16]byte{0x20, 2, b[0], b[1], b[2], b[3], 15: 1})
	out["Teredo server"] = netip.AddrFrom16([16]byte{0x20, 1, 0, 0, b[0], b[1], b[2], b[3], 12: 0xf7, 13: 0xf7, 14: 0xf7, 15: 0xf7})
	out["Teredo client"] = netip.AddrFrom16([16]byte{0x20, 1, 0, 0, 8, 8, 8, 8, 12: ^b[0], 13: ^b[1], 14: ^b[2], 15: ^b[3]})
	return out
}

// TestGuardUnwraps: an IPv4 address that is refused is refused in every IPv6 disguise, even one
// that is itself allowed.
func TestGuardUnwraps(t *testing.T) {
	t.Parallel()
	strict := testGuard(t)
	lenient := testGuard(t, "::/0") // every IPv6 address, and no IPv4 address
	for _, addrs := range specials() {
		for _, text := range addrs {
			addr := netip.MustParseAddr(text)
			if !addr.Is4() {
				continue
			}
			for how, wrapped := range wrappers(addr) {
				require.NotEmpty(t, refusal(strict, wrapped), "%s of %s: %s", how, addr, wrapped)
				if wrapped == netip.IPv6Unspecified() || wrapped == netip.IPv6Loopback() {
					continue // the compatible form of 0.0.0.0 and 0.0.0.1, allowed by name
				}
				require.NotEmpty(t, refusal(lenient, wrapped), "%s of %s: %s", how, addr, wrapped)
			}
		}
	}
	require.Equal(t, "address 64:ff9b::a00:1 is not allowed (stands for 10.0.0.1, private); add it to network.allow",
		refusal(strict, netip.MustParseAddr("64:ff9b::a00:1")))
}

func TestGuardAllow(t *testing.T) {
	t.Parallel()
	g := testGuard(t, "10.1.0.0/16", "fd00::/8", "::ffff:192.168.7.0/120", "fe80::1/128")
	for _, a := range []string{"10.1.0.1", "::ffff:10.1.0.1", "64:ff9b::10.1.0.1", "2002:a01:1::1", "fd12::1", "192.168.7.9", "fe80::1%eth0"} {
		require.Empty(t, refusal(g, netip.MustParseAddr(a)), a)
	}
	for _, a := range []string{"10.2.0.1", "fc00::1", "192.168.8.9", "127.0.0.1"} {
		require.NotEmpty(t, refusal(g, netip.MustParseAddr(a)), a)
	}
	require.Empty(t, refusal(testGuard(t, "::ffff:0:0/96"), netip.MustParseAddr("127.0.0.1")), "that is all of IPv4")
	_, err := NewGuard([]netip.Prefix{{}})
	require.ErrorContains(t, err, "invalid prefix")
}

// TestTenantsReadNoAddress: what a tenant reads of a denial names no address and no neighbour.
func TestTenantsReadNoAddress(t *testing.T) {
	t.Parallel()
	for kind, addrs := range specials() {
		for _, a := range addrs {
			d := testGuard(t).Check(netip.MustParseAddr(a))
			require.NotNil(t, d, a)
			public := PublicError(d.Error())
			require.NotContains(t, public, d.Addr.String())
			require.NotContains(t, public, kind)
			require.Equal(t, "OAuth 2: "+public, PublicError("OAuth 2: "+d.Error()), "whatever stands before it")
			d.Own = true
			require.Equal(t, public, PublicError(d.Error()))
		}
	}
	for _, text := range []string{"", "connection refused", "timeout after 10s connecting", "redirect not followed: to plain http"} {
		require.Equal(t, text, PublicError(text))
	}
}
