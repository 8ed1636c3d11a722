package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// tail reads a stream of server-sent events.
type tail struct {
	t      *testing.T
	cancel context.CancelFunc
	lines  chan string
	lastID string
}

// follow opens a live tail and returns once it follows.
func follow(t *testing.T, b *bundle, key, parameters, lastID string) *tail {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.http.URL+streamPath+parameters, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := b.http.Client().Do(req) //nolint:bodyclose // the reader below closes it
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	f := &tail{t: t, cancel: cancel, lines: make(chan string)}
	go func() {
		defer close(f.lines)
		defer res.Body.Close()
		scanner := bufio.NewScanner(res.Body)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			select {
			case f.lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(f.close)
	return f
}

func (f *tail) close() {
	f.cancel()
	for range f.lines {
		continue // until it has ended
	}
}

// next returns the next event of the stream; comments and ids are left out.
func (f *tail) next() (name, data string) {
	f.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, open := <-f.lines:
			if !open {
				return "", ""
			}
			field, value, _ := strings.Cut(line, ": ")
			switch field {
			case "event":
				name = value
			case "data":
				data = value
			case "id":
				f.lastID = value
			case "":
				if name != "" {
					return name, data
				}
			}
		case <-deadline:
			require.Fail(f.t, "nothing comes")
		}
	}
}

// attempts returns the events of the attempts that come until one of them is last, which is
// followed by where the stream is.
func (f *tail) attempts(last string) []string {
	f.t.Helper()
	var ids []string
	for {
		name, data := f.next()
		switch name {
		case "attempt":
			var a api.Attempt
			require.NoError(f.t, json.Unmarshal([]byte(data), &a))
			ids = append(ids, a.EventID)
		case "seen":
			if slices.Contains(ids, last) {
				return ids
			}
		default:
			require.Fail(f.t, "the stream ended, or skipped: "+name)
		}
	}
}

func TestAttemptsAreFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	mine, other := b.endpoint(t, "acme"), b.endpoint(t, "other")
	_, acme := b.key(t, "acme")
	b.attempted(t, "before", mine, "stream")
	all, tenant, filtered := follow(t, b, adminKey, "", ""), follow(t, b, acme, "", ""), follow(t, b, adminKey, "?outcome=dead&endpoint_id="+mine, "")
	b.attempted(t, "e1", mine, "stream")
	b.attempted(t, "e2", other, "stream")
	// One that began long ago and is over now.
	b.attempted(t, "slow", mine, "stream")
	b.exec(t, "UPDATE tailpost.attempt SET attempted_at = now() - interval '3 minutes' WHERE event_id = 'slow' AND now()::time > '00:05'")
	b.attempted(t, "e3", mine, "stream")
	got := all.attempts("e3")
	require.Subset(t, got, []string{"e1", "e2", "slow", "e3"})
	require.NotContains(t, got, "before")
	require.NotContains(t, tenant.attempts("e3"), "e2")
	b.exec(t, `INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		VALUES ('given up', 'order.created', $1, 1, 'stream', 'https://example.com/in', 'dead', 1, now(), '0/10')`, mine)
	require.Equal(t, []string{"given up"}, filtered.attempts("given up"))

	// Whoever comes back gets what was recorded meanwhile, once.
	all.attempts("given up")
	all.close()
	b.attempted(t, "meanwhile", other, "stream")
	again := follow(t, b, adminKey, "", all.lastID)
	b.attempted(t, "e4", mine, "stream")
	require.Equal(t, []string{"meanwhile", "e4"}, again.attempts("e4"))
	b.do(t, call{key: adminKey, method: http.MethodGet, path: streamPath, headers: http.Header{"Last-Event-ID": {"x"}}}).is(http.StatusUnprocessableEntity)
}

func TestALiveTailIsBoundedInRate(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	all := follow(t, b, adminKey, "", "")
	b.insertAttempts(t, id, "delivered", 400)
	shown, skipped := 0, 0
	for shown+skipped < 400 {
		switch name, data := all.next(); name {
		case "attempt":
			shown++
		case "skipped":
			var s struct {
				Skipped int `json:"skipped"`
			}
			require.NoError(t, json.Unmarshal([]byte(data), &s))
			skipped += s.Skipped
		}
	}
	require.Equal(t, 400, shown+skipped)
	require.GreaterOrEqual(t, shown, 100)
	require.Positive(t, skipped)
	b.attempted(t, "behind them", id, "stream")
	var after []string // what was left out would come with it, or before
	for name := ""; name != "seen" || !slices.Contains(after, "attempt"); {
		name, _ = all.next()
		after = append(after, name)
	}
	require.NotContains(t, after, "skipped", "it is told of once")
}

func TestALiveTailEndsWithItsKeyAndWithTheServer(t *testing.T) {
	t.Parallel()
	const before, after = "a-key-of-the-file-that-somebody-else-got", "the-key-of-the-file-that-is-there-instead"
	b := setup(t, func(c *config.Config) {
		c.API.Keys = append(c.API.Keys, config.APIKey{Name: "ci", Secret: config.NewSecret(before)})
	})
	ended := func(f *tail) {
		t.Helper()
		name, _ := f.next()
		require.Empty(t, name)
	}
	id, secret := b.key(t, "", "deliveries:read")
	f, replaced := follow(t, b, secret, "", ""), follow(t, b, before, "", "")
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/keys/" + id}).is(http.StatusOK)
	b.change(func(c *config.Config) { c.API.Keys[1].Secret = config.NewSecret(after) })
	ended(f)
	ended(replaced)

	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.server.Serve(ctx, listener, time.Minute) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+streamPath, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	stop()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the server waits for a live tail")
	}
}

func TestLiveTailsAreBoundedInNumber(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	open := make([]*tail, 16)
	for i := range open {
		open[i] = follow(t, b, adminKey, "", "")
	}
	b.do(t, call{key: adminKey, method: http.MethodGet, path: streamPath}).is(http.StatusTooManyRequests)
	open[0].close()
	require.Eventually(t, func() bool {
		return b.do(t, call{key: adminKey, method: http.MethodGet, path: streamPath}).Status == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond)
}

// TestATenantLeavesLiveTailsToOthers: to other tenants, and all of them to the operator.
func TestATenantLeavesLiveTailsToOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	full := func(key string) {
		t.Helper()
		b.do(t, call{key: key, method: http.MethodGet, path: streamPath}).is(http.StatusTooManyRequests)
	}
	var key string
	var last *tail
	for _, tenant := range []string{"a", "b", "c"} {
		_, key = b.key(t, tenant)
		for range 4 {
			last = follow(t, b, key, "", "")
		}
		full(key)
	}
	_, another := b.key(t, "d")
	full(another)
	follow(t, b, adminKey, "", "")
	last.close()
	for _, next := range []string{key, another} { // each for a moment
		require.Eventually(t, func() bool {
			return b.do(t, call{key: next, method: http.MethodGet, path: streamPath}).Status == http.StatusOK
		}, 30*time.Second, 20*time.Millisecond)
	}
}

// TestATailThatCannotBeginTakesNoPlace of those that can.
func TestATailThatCannotBeginTakesNoPlace(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "ALTER TABLE tailpost.attempt RENAME TO elsewhere")
	for range 16 {
		b.do(t, call{key: adminKey, method: http.MethodGet, path: streamPath}).is(http.StatusInternalServerError)
	}
	b.exec(t, "ALTER TABLE tailpost.elsewhere RENAME TO attempt")
	follow(t, b, adminKey, "", "")
}

// TestALiveTailShowsWhatItsKeyMaySeeByNow: a scope that is taken from the key ends in open tails
// too.
func TestALiveTailShowsWhatItsKeyMaySeeByNow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	endpoint := b.endpoint(t, "")
	id, secret := b.key(t, "", "deliveries:read", "payloads:read")
	f := follow(t, b, secret, "", "")
	seen := func() bool {
		b.insertAttempts(t, endpoint, "delivered", 1)
		for {
			if name, data := f.next(); name == "attempt" {
				return strings.Contains(data, `"response_body"`)
			}
		}
	}
	require.True(t, seen())
	b.exec(t, "UPDATE tailpost.api_key SET scopes = '{deliveries:read}' WHERE id = $1", id)
	require.Eventually(t, func() bool { return !seen() }, time.Minute, 200*time.Millisecond)
}

// TestAStreamChoosesAsTheListDoes: what a filter of the list chooses of what is new is what the
// stream that goes on where the list ended sends, for each filter that there is.
func TestAStreamChoosesAsTheListDoes(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	a, other := b.endpoint(t, ""), b.endpoint(t, "")
	requests := make(map[string]string) // by endpoint
	add := func(id, kind, tenant, endpoint, outcome string, status int, at time.Time) {
		b.exec(t, `INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, duration_ms, attempted_at, commit_lsn, request_id)
			VALUES ($1, $2, $3, $4, 1, 'stream', 'https://example.com/in', $5, $6, 1, $7, '0/10', $8)`, id, kind, tenant, endpoint, outcome, status, at, requests[endpoint])
	}
	now := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour) // far from the end of a day
	soon, before := now.Add(time.Second), now.Add(-time.Second)
	requests[a], requests[other] = ledger.NewRequestID(now), ledger.NewRequestID(now)
	filters := map[string]string{
		"request_id": requests[a],
		"event_id":   "e1", "event_type": "order.created", "tenant": "acme", "endpoint_id": a, "outcome": "delivered", "status_class": "2xx",
		"since": now.Format(time.RFC3339), "until": soon.Format(time.RFC3339),
	}
	first := b.do(t, call{key: adminKey, method: http.MethodGet, path: "/v1/attempts?follow=true"}).is(http.StatusOK).text("after")
	require.NotEmpty(t, first)
	tails := make(map[string]*tail)
	for name, value := range filters {
		tails[name] = follow(t, b, adminKey, "?after="+first+"&"+name+"="+url.QueryEscape(value), "")
	}
	add("e1", "order.created", "acme", a, "delivered", 200, now)
	add("no-2", "order.paid", "other", other, "dead", 404, before) // older than since
	add("no-3", "order.paid", "other", other, "retry", 500, soon)  // not before until
	add("no-4", "order.paid", "other", other, "retry", 500, now)
	add("last", "order.created", "acme", a, "delivered", 200, now)
	want := map[string][]string{"since": {"e1", "no-4", "last", "no-3"}, "until": {"no-2", "e1", "no-4", "last"}, "event_id": {"e1"}}
	for name, value := range filters {
		expected := want[name]
		if expected == nil {
			expected = []string{"e1", "last"}
		}
		listed := found(t, b, adminKey, "/v1/attempts?"+name+"="+url.QueryEscape(value), "event_id")
		require.ElementsMatch(t, expected, listed, name)
		var got []string
		for len(got) < len(expected) {
			kind, data := tails[name].next()
			if kind != "attempt" {
				require.Equal(t, "seen", kind, name)
				continue
			}
			var at api.Attempt
			require.NoError(t, json.Unmarshal([]byte(data), &at))
			got = append(got, at.EventID)
		}
		require.ElementsMatch(t, expected, got, name)
	}

	// Search, which needs a configuration, has a test of its own: here is that no other is missing.
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name string `json:"name"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(b.do(t, call{key: adminKey, method: http.MethodGet, path: "/openapi.json"}).is(http.StatusOK).Body, &doc))
	of := func(path string, without ...string) (names []string) {
		for _, p := range doc.Paths[path]["get"].Parameters {
			if !slices.Contains(without, p.Name) {
				names = append(names, p.Name)
			}
		}
		return names
	}
	list := of("/v1/attempts", "limit", "cursor", "follow")
	require.ElementsMatch(t, list, of(streamPath, "after", "Last-Event-ID"))
	require.Len(t, list, len(filters)+1, "each but search has a case above")
}
