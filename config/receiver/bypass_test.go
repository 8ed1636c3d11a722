package receiver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/receiver"
)

func TestBypass(t *testing.T) {
	t.Parallel()
	for entry, urls := range map[string]struct{ direct, proxied []string }{
		"internal.example": {
			[]string{"https://internal.example/x", "https://a.b.INTERNAL.example", "http://internal.example.:8080"},
			[]string{"https://notinternal.example", "https://example", "https://internal.example.com"},
		},
		"internal.example.":     {[]string{"https://internal.example", "https://a.internal.example."}, []string{"https://internal.example.com"}},
		".internal.example":     {[]string{"https://a.internal.example"}, []string{"https://internal.example"}},
		"*.internal.example":    {[]string{"https://a.internal.example"}, []string{"https://internal.example"}},
		"internal.example:8443": {[]string{"https://internal.example:8443"}, []string{"https://internal.example", "https://internal.example:8444"}},
		"bücher.example":        {[]string{"https://xn--bcher-kva.example", "https://www.bücher.example"}, []string{"https://bucher.example"}},
		"10.1.0.0/16":           {[]string{"http://10.1.2.3:80"}, []string{"http://10.2.0.1", "https://10.1.example"}},
		"10.1.2.3":              {[]string{"http://10.1.2.3", "http://[::ffff:10.1.2.3]"}, []string{"http://10.1.2.4"}},
		"10.1.2.3:8080":         {[]string{"http://10.1.2.3:8080"}, []string{"http://10.1.2.3"}},
		"::ffff:10.1.0.0/112":   {[]string{"http://10.1.2.3"}, []string{"http://10.2.0.1"}},
		"::1":                   {[]string{"http://[::1]:99"}, []string{"http://[::2]"}},
		"[::1]:99":              {[]string{"http://[::1]:99"}, []string{"http://[::1]"}},
		"fe80::/10":             {[]string{"https://[fe80::1]", "https://[fe80::1%25eth0]"}, []string{"https://[fd12::1]"}},
		"fe80::1%eth0":          {[]string{"https://[fe80::1]", "https://[fe80::1%25eth1]"}, []string{"https://[fe80::2]"}},
		"fd00::/8":              {[]string{"https://[fd12::1]"}, []string{"https://[fe00::1]"}},
	} {
		bypass, err := receiver.ParseBypass([]string{"other.example", entry})
		require.NoError(t, err, entry)
		for direct, list := range map[bool][]string{true: urls.direct, false: urls.proxied} {
			for _, url := range list {
				_, place, err := receiver.Parse(url)
				require.NoError(t, err, url)
				require.Equal(t, direct, bypass.Has(place), "%s by %s", url, entry)
			}
		}
	}
	for _, entry := range []string{
		"", ".", "*", ":80", "a..b", "https://a.example", "a.example/x", "a.example:", "a.example:0", "a.example:99999", "*.10.1.2.3", "0x7f.1",
		"10.1.0.0/33", "[::1", "[10.1.2.3]", "[a.example]", "user@a.example", " a.example",
	} {
		_, err := receiver.ParseBypass([]string{entry})
		require.ErrorContains(t, err, "write a name", "%q", entry)
	}
	require.False(t, receiver.Bypass{}.Has(receiver.Place{Host: "a.example"}))
}
