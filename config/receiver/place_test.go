package receiver_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/receiver"
)

// TestParsePlace: every notation of an address ends as that address, or is refused; never as a name
// that some resolver might read as an address.
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
		"https://A_Z0.9z_a.Internal":       "a_z0.9z_a.internal",
		"https://shop.cafe":                "shop.cafe",
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
		p, err := receiver.ParsePlace(u)
		require.NoError(t, err, in)
		require.Equal(t, want, p.Authority(), in)
	}
	const unusual = "unusual notation"
	longName := strings.Repeat("a_bc.", 50) + "abc" // 253 bytes
	_, place, err := receiver.Parse("https://" + longName)
	require.NoError(t, err)
	require.Equal(t, longName, place.ServerName())
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
		"https://" + longName + "x":   "not a valid name",
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
		"https://[2000::1%25Eth0]":    "zone",
		"https://[127.0.0.1]":         "",
		"https://[v1.fe80::a+en1]/":   "",
		"https://[::ffff:127.0.0.1.]": "",
	} {
		u, err := url.Parse(in)
		if want == "" && err != nil {
			continue
		}
		require.NoError(t, err, in)
		_, err = receiver.ParsePlace(u)
		require.ErrorContains(t, err, want, in)
	}
}

func TestSameReceiver(t *testing.T) {
	t.Parallel()
	at := func(s string) receiver.Place {
		u, err := url.Parse(s)
		require.NoError(t, err)
		p, err := receiver.ParsePlace(u)
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
		{"https://a.example:80", "https://a.example", false},
		{"http://a.example", "https://a.example:8443", false},
		{"https://[fe80::1%25eth0]", "https://[fe80::1]", true},
	} {
		require.Equal(t, test.want, at(test.from).SameReceiver(at(test.to)), test)
	}
}
