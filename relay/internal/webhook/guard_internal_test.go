package webhook

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func testGuard(t *testing.T, allow ...string) *guard {
	t.Helper()
	var prefixes []netip.Prefix
	for _, p := range allow {
		prefixes = append(prefixes, netip.MustParsePrefix(p))
	}
	g, err := newGuard(prefixes, []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("0.0.0.0:9090"), netip.MustParseAddrPort("[::]:9091"),
	})
	require.NoError(t, err)
	return g
}

func loopbackPrefixes() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// specials holds the first, a middle and the last address of every special range, with the name it is refused by.
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
	}
}

func TestGuardRefusesEverySpecialRange(t *testing.T) {
	t.Parallel()
	g := testGuard(t)
	for kind, addrs := range specials() {
		for _, a := range addrs {
			addr := netip.MustParseAddr(a)
			err := g.check(netip.AddrPortFrom(addr, 443))
			require.EqualError(t, err, "address "+addr.String()+" is not allowed ("+kind+"); add it to network.allow", a)
		}
	}
	for _, a := range public() {
		require.NoError(t, g.check(netip.AddrPortFrom(netip.MustParseAddr(a), 443)), a)
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

// TestGuardUnwraps: an IPv4 address that is refused is refused in every IPv6 disguise, even one that is itself allowed.
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
				require.Error(t, strict.check(netip.AddrPortFrom(wrapped, 443)), "%s of %s: %s", how, addr, wrapped)
				if wrapped == netip.IPv6Unspecified() || wrapped == netip.IPv6Loopback() {
					continue // the compatible form of 0.0.0.0 and 0.0.0.1, allowed by name
				}
				require.Error(t, lenient.check(netip.AddrPortFrom(wrapped, 443)), "%s of %s: %s", how, addr, wrapped)
			}
		}
	}
	require.EqualError(t, strict.check(netip.MustParseAddrPort("[64:ff9b::a00:1]:443")),
		"address 64:ff9b::a00:1 is not allowed (stands for 10.0.0.1, private); add it to network.allow")
}

func TestGuardAllow(t *testing.T) {
	t.Parallel()
	g := testGuard(t, "10.1.0.0/16", "fd00::/8", "::ffff:192.168.7.0/120", "fe80::1/128")
	for _, a := range []string{"10.1.0.1", "::ffff:10.1.0.1", "64:ff9b::10.1.0.1", "2002:a01:1::1", "fd12::1", "192.168.7.9", "fe80::1%eth0"} {
		require.NoError(t, g.check(netip.AddrPortFrom(netip.MustParseAddr(a), 443)), a)
	}
	for _, a := range []string{"10.2.0.1", "fc00::1", "192.168.8.9", "127.0.0.1"} {
		require.Error(t, g.check(netip.AddrPortFrom(netip.MustParseAddr(a), 443)), a)
	}
	_, err := newGuard([]netip.Prefix{{}}, nil)
	require.ErrorContains(t, err, "invalid prefix")
}

// TestGuardListeners: no configuration allows a request to the relay itself.
func TestGuardListeners(t *testing.T) {
	t.Parallel()
	g := testGuard(t, "0.0.0.0/0", "::/0")
	for _, a := range []string{
		"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", "0.0.0.0:8080", "[::]:8080", "[64:ff9b::7f00:1]:8080",
		"127.0.0.1:9090", "127.9.9.9:9090", "[::1]:9090", "0.0.0.0:9090", "[::1]:9091", "127.0.0.1:9091",
	} {
		err := g.check(netip.MustParseAddrPort(a))
		require.ErrorContains(t, err, "this relay listens there", a)
		require.NotContains(t, err.Error(), "network.allow")
	}
	for _, a := range []string{"127.0.0.2:8080", "127.0.0.1:8081", "8.8.8.8:9090"} {
		require.NoError(t, g.check(netip.MustParseAddrPort(a)), a)
	}
	local, err := localAddrs()
	require.NoError(t, err)
	require.NotEmpty(t, local)
	for _, a := range local {
		require.Error(t, g.check(netip.AddrPortFrom(a, 9090)), a)
	}
}

// TestParsePlace: every notation of an address ends as that address, or is refused; never as a name that some resolver
// might read as an address.
func TestParsePlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://example.com":              "example.com",
		"https://EXAMPLE.com.":             "example.com.",
		"https://example.com:443/x":        "example.com",
		"https://example.com:8443":         "example.com:8443",
		"http://example.com:80":            "example.com",
		"http://example.com:443":           "example.com:443",
		"https://bücher.example":           "xn--bcher-kva.example",
		"https://my_service.internal":      "my_service.internal",
		"https://127.0.0.1":                "127.0.0.1",
		"https://127.0.0.1.":               "127.0.0.1",
		"https://１２７.0.0.1":                "127.0.0.1",
		"https://127。0。0。1":                "127.0.0.1",
		"https://[::1]:8080":               "[::1]:8080",
		"https://[0:0:0:0:0:0:0:1]":        "[::1]",
		"https://[::ffff:127.0.0.1]":       "[::ffff:127.0.0.1]",
		"https://[fe80::1%25eth0]":         "[fe80::1]",
		"https://user:secret@example.com/": "example.com",
		"https://example.com@10.0.0.1/":    "10.0.0.1",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err, in)
		p, err := parsePlace(u)
		require.NoError(t, err, in)
		require.Equal(t, want, p.authority(), in)
	}
	const unusual = "unusual notation"
	for in, want := range map[string]string{
		"https://2130706433":          unusual,
		"https://0x7f000001":          unusual,
		"https://0x7f.0.0.1":          unusual,
		"https://017700000001":        unusual,
		"https://0177.0.0.1":          unusual,
		"https://127.1":               unusual,
		"https://127.0.1":             unusual,
		"https://127.0.0.0x1":         unusual,
		"https://127.0.0.1.1":         unusual,
		"https://0x":                  unusual,
		"https://1.2.3.4.5.":          unusual,
		"https://256.256.256.256":     unusual,
		"https://127.0.0.1..":         "not a valid name",
		"https://.example.com":        "not a valid name",
		"https://a..b":                "not a valid name",
		"https://exa mple.com":        "",
		"https://a%00b.com":           "",
		"https://ex%0d%0aample":       "",
		"https://":                    "no host",
		"https:///path":               "no host",
		"https:example.com":           "no host",
		"https://example.com:0":       "port",
		"https://example.com:70000":   "port",
		"ftp://example.com":           "scheme",
		"//example.com":               "scheme",
		"https://[::1%25]":            "",
		"https://[127.0.0.1]":         "",
		"https://[v1.fe80::a+en1]/":   "",
		"https://[::ffff:127.0.0.1.]": "",
	} {
		u, err := url.Parse(in)
		if want == "" && err != nil {
			continue
		}
		require.NoError(t, err, in)
		_, err = parsePlace(u)
		require.ErrorContains(t, err, want, in)
	}
}

func TestSameReceiver(t *testing.T) {
	t.Parallel()
	at := func(s string) place {
		u, err := url.Parse(s)
		require.NoError(t, err)
		p, err := parsePlace(u)
		require.NoError(t, err)
		return p
	}
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"https://a.example", "https://a.example.", true},
		{"https://a.example", "https://A.example:443", true},
		{"http://a.example", "https://a.example", true},
		{"https://a.example", "https://b.example", false},
		{"https://a.example", "https://sub.a.example", false},
		{"https://a.example", "https://a.example:8443", false},
		{"http://a.example:8080", "https://a.example:8443", false},
		{"https://a.example", "http://a.example", false},
	} {
		require.Equal(t, test.want, at(test.from).sameReceiver(at(test.to)), test)
	}
}
