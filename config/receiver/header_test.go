package receiver_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/receiver"
)

// TestHeadersArriveAsTheyAreWritten, or are refused: nothing ends the line of a header, and none of
// those that frame, sign or trace a request is an endpoint's to set.
func TestHeadersArriveAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", receiver.MaxHeaderValue)
	for _, header := range [][2]string{
		{"X-Api-Key", "a b"}, {"x9!#$%&'*+-.^_`|~", "a\tb"}, {"X", ""}, {"X-Webhook-Id", "é"}, {"Cement", "1"}, {"Te-X", "1"}, {"X-Long", long},
	} {
		require.NoError(t, receiver.CheckHeader(header[0], header[1]), header[0])
	}
	for says, headers := range map[string][][2]string{
		"not a valid header name":  {{"", "a"}, {"a b", "a"}, {"a:", "a"}, {"ä", "a"}, {"a\n", "a"}, {"a/", "a"}, {"a[", "a"}, {"a@", "a"}, {"a{", "a"}},
		"set by Tailpost itself":   {{"host", "a"}, {"Content-Length", "1"}, {"TraceParent", "a"}, {"WEBHOOK-id", "a"}, {"Ce-Type", "a"}, {"Proxy-Authorization", "a"}, {"x-Hub-signature-256", "a"}},
		"holds control characters": {{"X", " a"}, {"X", "a\t"}, {"X", "a\nb: c"}, {"X", "a\rb"}, {"X", "a\x00"}, {"X", "a\x1f"}, {"X", "a\x7f"}},
		"longer than 4096 bytes":   {{"X", long + "x"}},
	} {
		for _, header := range headers {
			require.ErrorContains(t, receiver.CheckHeader(header[0], header[1]), says, "%q", header)
		}
	}
}

// TestAProxyIsWhereItsURLSays, or it is refused, without a word of a password.
func TestAProxyIsWhereItsURLSays(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for text, want := range map[string]struct {
		socks, secure bool
		port          uint16
		user          string
	}{
		"http://proxy.example":                             {false, false, 80, ""},
		"http://proxy.example:3128/":                       {false, false, 3128, ""},
		"https://me@proxy.example":                         {false, true, 443, "me"},
		"https://:" + long + "x@proxy.example":             {false, true, 443, ":" + long + "x"},
		"socks5://proxy.example":                           {true, false, 1080, ""},
		"socks5://me:s3cret@proxy.example:80":              {true, false, 80, "me:s3cret"},
		"socks5://" + long + ":" + long + "@proxy.example": {true, false, 1080, long + ":" + long},
	} {
		p, err := receiver.ParseProxy(text)
		require.NoError(t, err, text)
		require.Equal(t, want.user, p.User.String(), text)
		require.Equal(t, receiver.Proxy{SOCKS: want.socks, Place: receiver.Place{Secure: want.secure, Host: "proxy.example", Port: want.port}, User: p.User}, p, text)
	}
	for says, list := range map[string][]string{
		"write http://host:port": {
			"", "proxy.example:3128", "http://", "ftp://proxy.example", "http://proxy.example/s3cret", "http://proxy.example?s3cret", "http://proxy.example#s3cret", "http://me:s3cret@a..b",
			"http://proxy.example:0", "http://me:s3cret%@proxy.example", "http:s3cret",
		},
		"1 to 255 bytes each": {
			"socks5://me@proxy.example", "socks5://:s3cret@proxy.example", "socks5://" + long + "x:s3cret@proxy.example", "socks5://me:s3cret" + long + "@proxy.example",
		},
	} {
		for _, text := range list {
			_, err := receiver.ParseProxy(text)
			require.ErrorContains(t, err, says, text)
			require.NotContains(t, err.Error(), "s3cret")
		}
	}
}
