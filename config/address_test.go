package config_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

func addressed(tb testing.TB, e config.Endpoint) *config.Address {
	tb.Helper()
	a, err := e.Address()
	require.NoError(tb, err)
	return a
}

func anEvent() *outbox.Event {
	return &outbox.Event{
		ID: "e1", Type: "order.paid", Key: "a/b c", Tenant: "acme&co", CreatedAt: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		Headers: map[string]string{"x-shop": "s?1"}, Extra: []byte(`{"region":"eu","size":1e+20}`),
		Payload: []byte(`{"id":9007199254740993,"paid":true,"nothing":null,"list":[1],"void":"","plus":"1+1=2","percent":"50%","zoë":"ü"}`),
	}
}

// TestAddress holds where an event goes, byte for byte.
func TestAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		url, want string
		query     map[string]string
	}{
		"a path":                        {url: "https://h.example/orders/${event.key}/hook", want: "/orders/a%2Fb%20c/hook"},
		"a query":                       {url: "https://h.example/in?tenant=${event.tenant}&x=1", want: "/in?tenant=acme%26co&x=1"},
		"both":                          {url: "https://h.example:8443/${event.id}?k=${event.key}", want: "/e1?k=a%2Fb%20c"},
		"a query right behind the host": {url: "https://h.example?k=${event.key}", want: "/?k=a%2Fb%20c"},
		"a part of a segment":           {url: "https://h.example/o-${event.data.id}.json", want: "/o-9007199254740993.json"},
		"a number, a time, a bool":      {url: "https://h.example/${event.extra.size}/${event.created_at}/${event.data.paid}", want: "/1e%2B20/2026-01-31T12%3A00%3A00Z/true"},
		"plus and percent":              {url: "https://h.example/${event.data.plus}?p=${event.data.percent}", want: "/1%2B1%3D2?p=50%25"},
		"more than ASCII":               {url: "https://h.example/ü/${event.data.zoë}", want: "/%C3%BC/%C3%BC"},
		"what is literal stays":         {url: "https://h.example/a%2Fb/{x}/$${y}/${event.id}?q=%41+b&z={}", want: "/a%2Fb/%7Bx%7D/$%7By%7D/e1?q=%41+b&z={}"},
		"a function":                    {url: "https://h.example/${lower(event.tenant)}/${coalesce(event.data.nope, \"none\")}", want: "/acme%26co/none"},
		"a condition with a question":   {url: "https://h.example/${event.data.paid ? \"p/a\" : \"b\"}/x", want: "/p%2Fa/x"},
		"a header of the event":         {url: "https://h.example/${event.headers[\"x-shop\"]}", want: "/s%3F1"},
		"parameters":                    {url: "https://h.example/in", query: map[string]string{"t": "${event.tenant}", "a b": "l&m", "k": "x-${event.key}"}, want: "/in?a%20b=l%26m&k=x-a%2Fb%20c&t=acme%26co"},
		"parameters behind others":      {url: "https://h.example/in?x=1", query: map[string]string{"t": "${event.tenant}"}, want: "/in?x=1&t=acme%26co"},
		"parameters behind expressions": {url: "https://h.example/in?x=${event.id}", query: map[string]string{"t": "1"}, want: "/in?x=e1&t=1"},
		"dots that lead nowhere":        {url: "https://h.example/${event.id}..${event.id}/...", want: "/e1..e1/..."},
		"two slashes":                   {url: "https://h.example//other.example/${event.id}", want: "//other.example/e1"},
		"a dollar in front":             {url: "https://h.example/${\"$\"}${event.id}", want: "/%24e1"},
		"parameters that say the same":  {url: "https://h.example/in", query: map[string]string{"t": "1"}},
		"nothing of the event":          {url: "https://h.example/in?x=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := addressed(t, config.Endpoint{URL: tc.url, Query: tc.query})
			got, err := a.AppendTarget([]byte("x"), anEvent())
			require.NoError(t, err)
			require.Equal(t, "x"+tc.want, string(got))
			require.Equal(t, tc.want != "", a.Varies())
			require.Equal(t, "h.example", a.Place.Host)
		})
	}
	a := addressed(t, config.Endpoint{URL: "https://h.example/in?x=1", Query: map[string]string{"a b": "c&d"}})
	require.False(t, a.Varies())
	require.Equal(t, "https://h.example/in?x=1&a%20b=c%26d", a.URL.String())
	a = addressed(t, config.Endpoint{URL: "https://h.example/$${x}", Headers: map[string]string{"X-A": "$${b} %%{c}", "X-B": "%{d"}})
	require.Equal(t, "/${x}", a.URL.Path)
	require.Equal(t, map[string]string{"X-A": "${b} %{c}", "X-B": "%{d"}, a.Headers)
}

// TestAddressRefusesEvents: nothing is sent for an event that has not what the address names, or
// that would lead elsewhere; the error quotes nothing of it.
func TestAddressRefusesEvents(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ url, key, want string }{
		"a missing value":     {"https://h.example/${event.data.nope}", "k", "the URL cannot be made: event.data.nope is missing, null or empty"},
		"null":                {"https://h.example/${event.data.nothing}", "k", "event.data.nothing is missing, null or empty"},
		"an empty text":       {"https://h.example/x${event.data.void}", "k", "event.data.void is missing, null or empty"},
		"no key":              {"https://h.example/?k=${event.key}", "", "event.key is missing, null or empty"},
		"a list":              {"https://h.example/${event.data.list}", "k", "event.data.list is an object or a list"},
		"dots":                {"https://h.example/a/${event.key}/b", "..", "would lead elsewhere"},
		"a dot":               {"https://h.example/a/${event.key}", ".", "would lead elsewhere"},
		"dots of two":         {"https://h.example/a/.${event.key}", ".", "would lead elsewhere"},
		"a dot and more":      {"https://h.example/a/.${event.key}", ";x", "would lead elsewhere"},
		"an escaped dot":      {"https://h.example/a/%2e${event.key}", ".", "would lead elsewhere"},
		"a way up":            {"https://h.example/a/${event.key}", "../../admin", "would lead elsewhere"},
		"a way up in between": {"https://h.example/a/${event.key}", "x/../../admin", "would lead elsewhere"},
		"backslashes":         {"https://h.example/a/${event.key}", `..\..\admin`, "would lead elsewhere"},
		"encoded dots":        {"https://h.example/a/${event.key}", "%2e%2e", "would lead elsewhere"},
		"encoded twice":       {"https://h.example/a/${event.key}", "%252e%252e%252fadmin", "would lead elsewhere"},
		"a broken escape":     {"https://h.example/a/${event.key}", "%2e%2e/%zz", "would lead elsewhere"},
		"parameters":          {"https://h.example/a/${event.key}", "..;x=1/admin", "would lead elsewhere"},
		"a NUL":               {"https://h.example/a/${event.key}", "..\x00/admin", "would lead elsewhere"},
		"a long one":          {"https://h.example/a/${event.key}", strings.Repeat("k", 9000), "it is too long"},
		"long once encoded":   {"https://h.example/a/${event.key}", strings.Repeat("ü", 3000), "it is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := anEvent()
			ev.Key = tc.key
			_, err := addressed(t, config.Endpoint{URL: tc.url}).AppendTarget(nil, ev)
			var refused *config.UnaddressableError
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, tc.want)
			if len(tc.key) > 2 {
				require.NotContains(t, err.Error(), tc.key)
			}
		})
	}
	// A segment is what a value and what is written around it are together.
	ev := anEvent()
	ev.Key = "."
	got, err := addressed(t, config.Endpoint{URL: "https://h.example/a/o${event.key}"}).AppendTarget(nil, ev)
	require.NoError(t, err)
	require.Equal(t, "/a/o.", string(got))
	// In a query a dot is a dot.
	ev.Key = "../x"
	got, err = addressed(t, config.Endpoint{URL: "https://h.example/a?k=${event.key}"}).AppendTarget(nil, ev)
	require.NoError(t, err)
	require.Equal(t, "/a?k=..%2Fx", string(got))
}

func TestAddressOfHeaders(t *testing.T) {
	t.Parallel()
	headers := func(value, key string) (map[string]string, error) {
		ev, got := anEvent(), make(map[string]string)
		ev.Key = key
		err := addressed(t, config.Endpoint{URL: "https://h.example/", Headers: map[string]string{"X-Key": value, "X-Fixed": "f"}}).
			EachHeader(ev, func(name, value string) { got[name] = value })
		return got, err
	}
	got, err := headers("r-${event.key}/${event.extra.region}", "Zoë 1")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"X-Key": "r-Zoë 1/eu"}, got)
	for key, want := range map[string]string{
		"a\r\nX-Evil: 1":          "it would hold control characters",
		"a\x00":                   "it would hold control characters",
		" a":                      "blanks at an end",
		"a\t":                     "blanks at an end",
		"":                        "event.key is missing, null or empty",
		strings.Repeat("a", 4097): "it is longer than 4096 bytes",
	} {
		got, err := headers("${event.key}", key)
		var refused *config.UnaddressableError
		require.ErrorAs(t, err, &refused)
		require.ErrorContains(t, err, "header X-Key cannot be made: ")
		require.ErrorContains(t, err, want)
		require.Empty(t, got)
	}
	// It is the whole header that is bounded, not each value of it.
	got, err = headers("${event.key}${event.key}", strings.Repeat("a", 2048))
	require.NoError(t, err)
	require.Len(t, got["X-Key"], 4096)
	_, err = headers("${event.key}${event.key}", strings.Repeat("a", 2049))
	require.ErrorContains(t, err, "header X-Key cannot be made: it is longer than 4096 bytes")
}

// TestAddressRefusesSettings: what cannot be an address is said when it is written.
func TestAddressRefusesSettings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://${event.tenant}.example/":                                "Expression in the host",
		"https://h.example${event.key}":                                   "Expression in the host",
		"https://h.example:${event.key}/":                                 "Expression in the host",
		"${event.data.url}":                                               "Expression in the host",
		"${\"https://h.example/\"}${event.key}":                           "Expression in the host",
		"https:${event.key}":                                              "Expression in the host",
		"https://h.example\\${event.key}":                                 "Expression in the host",
		"https://h.example/%${event.key}":                                 "Expression in an escape",
		"https://h.example/?a=%4${event.key}":                             "Expression in an escape",
		"https://h.example/${event.kee}":                                  "Unknown event attribute",
		"https://h.example/${env(\"X\")}":                                 "Unknown function",
		"https://h.example/${event.data}":                                 "Object or list in a text",
		"https://h.example/${event.headers}":                              "Object or list in a text",
		"https://h.example/${event.extra}":                                "Object or list in a text",
		"https://h.example/${[1]}":                                        "Object or list",
		"https://h.example/${event.key":                                   "",
		"https://h.example/${":                                            "",
		"https://h.example:0/${event.key}":                                "port is not a number",
		"https://0x7f.1/${event.key}":                                     "unusual notation",
		"ftp://h.example/${event.key}":                                    "is not supported",
		"https://h.example/" + strings.Repeat("a", 4096) + "${event.key}": "URL too long",
	} {
		_, err := (&config.Endpoint{URL: text}).Address()
		require.ErrorContains(t, err, want, text)
		_, _, err = config.ParseURL(text)
		require.Error(t, err, text)
	}
	for name, e := range map[string]config.Endpoint{
		"Expression in the content type": {Headers: map[string]string{"Content-Type": "${event.key}"}},
		"Invalid header value":           {Headers: map[string]string{"X-A": "${event.key} "}},
		"Missing parameter name":         {Query: map[string]string{"": "x"}},
		"Unknown event attribute":        {Query: map[string]string{"x": "${event.nope}"}},
	} {
		e.URL = "https://h.example/"
		_, err := e.Address()
		require.ErrorContains(t, err, name)
	}
}

// TestAValueArrivesAsItIs: whatever a key and a tenant are made of, a server finds them again in
// their place, and nowhere else.
func TestAValueArrivesAsItIs(t *testing.T) {
	t.Parallel()
	type found struct{ segments, key, tenant, host, path string }
	got := make(chan found, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		segments := strings.Split(r.URL.EscapedPath(), "/")
		f := found{host: r.Host, path: r.URL.EscapedPath()}
		if len(segments) == 4 {
			f.segments, _ = url.PathUnescape(segments[2])
		}
		f.key, f.tenant = r.URL.Query().Get("k"), r.URL.Query().Get("tenant")
		if len(r.URL.Query()) != 3 {
			f.key = "other parameters"
		}
		got <- f
	}))
	t.Cleanup(server.Close)
	a := addressed(t, config.Endpoint{URL: server.URL + "/orders/${event.key}/hook?k=${event.key}&x=1", Query: map[string]string{"tenant": "${event.tenant}"}})
	value := rapid.OneOf(rapid.StringN(1, 40, 400), rapid.StringOfN(rapid.RuneFrom([]rune("/?#%&=+.;\\ \x00\r\n\x7f:@[]{}$2eEfF\u202e\ufeffü☃😀")), 1, 12, 60))
	sent := 0
	rapid.Check(t, func(t *rapid.T) {
		ev := &outbox.Event{ID: "1", Key: value.Draw(t, "key"), Tenant: value.Draw(t, "tenant")}
		target, err := a.AppendTarget(nil, ev)
		if err != nil {
			require.Contains(t, ev.Key, ".")
			require.ErrorContains(t, err, "would lead elsewhere")
			return
		}
		sent++
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+string(target), http.NoBody)
		require.NoError(t, err)
		require.Equal(t, string(target), req.URL.RequestURI())
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		f := <-got
		require.Equal(t, found{segments: ev.Key, key: ev.Key, tenant: ev.Tenant, host: strings.TrimPrefix(server.URL, "http://"), path: f.path}, f)
	})
	require.Positive(t, sent)
}
