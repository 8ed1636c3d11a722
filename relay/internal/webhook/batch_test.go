package webhook_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// requestID is that of every batch here.
const requestID = "req_06p2e0k8v4l9d3q6h1n7t5m2c0"

// batched has an endpoint get arrays.
func batched(partial bool) func(*config.Endpoint) {
	return func(ep *config.Endpoint) {
		ep.Batch = config.DefaultBatch()
		ep.Batch.Partial = partial
	}
}

// newBatch has an event for each payload: e1, e2 and so on. left gets how many are put back.
func newBatch(left *int, payloads ...string) *webhook.Batch {
	b := &webhook.Batch{ID: requestID, Left: func(n int) { *left = n }}
	for i, p := range payloads {
		b.Requests = append(b.Requests, webhook.Request{
			Event: &outbox.Event{
				ID: fmt.Sprintf("e%d", i+1), Type: "order.paid", Key: "k", Tenant: "acme", Payload: json.RawMessage(p),
				CreatedAt: time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC), CommitLSN: outbox.LSN(i + 1),
				Headers: map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
			},
			Number: i + 1, Trigger: outbox.TriggerRetry, Now: time.Now(),
		})
	}
	return b
}

func TestABatchIsASignedArrayOfTheSameEnvelopes(t *testing.T) {
	t.Parallel()
	for format, contentType := range map[config.Format]string{
		config.FormatStandard: "application/json", config.FormatCloudEvents: "application/cloudevents-batch+json; charset=utf-8",
	} {
		payloads := []string{`{"n": 1.50}`, `null`, `"ü"`}
		var left int
		b := newBatch(&left, payloads...)
		b.Requests[1].Event.Type, b.Requests[1].Event.Tenant, b.Requests[2].Trigger = "order.sent", "globex", outbox.TriggerResend
		want := make([]string, len(payloads))
		for i := range payloads {
			want[i] = string(deliver(t, &b.Requests[i], formatted(format)).body)
		}
		rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("é", 300)) })
		results := newEndpoint(t, rec.URL, formatted(format), batched(false)).SendBatch(t.Context(), b)
		require.Len(t, results, 3)
		require.Zero(t, left)
		got := <-rec.requests
		require.Equal(t, "["+strings.Join(want, ",")+"]", string(got.body), "byte by byte what single requests carry")
		require.Equal(t, contentType, got.header.Get("Content-Type"))
		require.Equal(t, requestID, got.header.Get("webhook-id"))
		require.Empty(t, got.header.Get("traceparent"), "of several traces none is that of the request")
		verifier, err := standardwebhooks.NewWebhook(testSecret)
		require.NoError(t, err)
		require.NoError(t, verifier.Verify(got.body, got.header))
		for i, res := range results {
			a, r := res.Attempt, &b.Requests[i]
			require.True(t, res.Delivered)
			require.Equal(t, requestID, a.RequestID)
			require.Equal(t, rec.URL, a.URL)
			require.Equal(t, "erp", a.EndpointID)
			require.Equal(t, []any{r.Event.ID, r.Event.Type, r.Event.Tenant, i + 1, r.Trigger, outbox.LSN(i + 1), 200},
				[]any{a.EventID, a.EventType, a.Tenant, a.Number, a.Trigger, a.CommitLSN, a.StatusCode})
			require.Equal(t, results[0].Attempt.AttemptedAt, a.AttemptedAt)
			size, truncated := 600, false
			if i > 0 {
				size, truncated = 256, true
			}
			require.Len(t, a.ResponseBody, size, "the first keeps the answer")
			require.Equal(t, truncated, a.ResponseTruncated)
		}
	}
}

// TestABatchEndsWhereItIsFull: no body is larger than it may be, and what has no room is put back
// before the request is made. An event that is larger alone goes alone.
func TestABatchEndsWhereItIsFull(t *testing.T) {
	t.Parallel()
	payload := quoted(200)
	for bytes, want := range map[int]int{
		1000: 3, 1060: 3, 600: 2, 100: 1, 10_000: 5,
	} {
		var left int
		text := string(payload)
		b := newBatch(&left, text, text, text, text, text)
		inTime := false
		rec := newReceiver(t, plainHTTP, nil)
		put := b.Left
		b.Left = func(n int) {
			put(n)
			inTime = len(rec.requests) == 0
		}
		results := newEndpoint(t, rec.URL, batched(false), func(ep *config.Endpoint) { ep.Batch.Bytes = bytes }).SendBatch(t.Context(), b)
		require.Len(t, results, want, bytes)
		require.Equal(t, 5-want, left, bytes)
		require.True(t, inTime || left == 0, bytes)
		got := <-rec.requests
		require.True(t, json.Valid(got.body), string(got.body))
		require.True(t, len(got.body) <= bytes || want == 1, "%d bytes", len(got.body))
	}
}

// The size of a batch is that of its whole body, to the byte.
func TestABatchIsNoLargerThanItsBytes(t *testing.T) {
	t.Parallel()
	text := string(quoted(200))
	send := func(bytes int) (events, size int) {
		rec := newReceiver(t, plainHTTP, nil)
		var left int
		e := newEndpoint(t, rec.URL, batched(false), func(ep *config.Endpoint) { ep.Batch.Bytes = bytes })
		events = len(e.SendBatch(t.Context(), newBatch(&left, text, text, text)))
		return events, len((<-rec.requests).body)
	}
	events, whole := send(10_000)
	require.Equal(t, 3, events)
	events, size := send(whole)
	require.Equal(t, []int{3, whole}, []int{events, size})
	events, size = send(whole - 1)
	require.Equal(t, 2, events)
	require.Less(t, size, whole-1)
}

// TestAnEventThatCannotBeSentIsAloneInItsBatch: the others go without it, and it costs no request.
func TestAnEventThatCannotBeSentIsAloneInItsBatch(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	e := newEndpoint(t, rec.URL, batched(false))
	var left int
	results := e.SendBatch(t.Context(), newBatch(&left, `1`, `2`, `{`, `4`))
	require.Len(t, results, 2)
	require.Equal(t, 2, left)
	require.True(t, results[1].Delivered)
	require.Equal(t, 2, strings.Count(string((<-rec.requests).body), "order.paid"))

	results = e.SendBatch(t.Context(), newBatch(&left, `{`, `2`, `3`))
	require.Len(t, results, 1)
	require.Equal(t, 2, left)
	require.True(t, results[0].Permanent)
	require.Contains(t, results[0].Attempt.Error, "not valid JSON")
	require.Empty(t, rec.requests)
}

// TestAnswersThatNameWhatFailed: those events failed, the others did not. An answer of which that
// cannot be read takes none; without partial it says nothing.
func TestAnswersThatNameWhatFailed(t *testing.T) {
	t.Parallel()
	all := []string{"e1", "e2", "e3"}
	long := `{"failed":["e1"],"why":"` + strings.Repeat("x", 32<<10) + `"}`
	unended := `{"failed":["e1"]}` + strings.Repeat(" ", 32<<10) + `but not these`
	for answer, failed := range map[string][]string{
		unended: all, `{"failed":[]}`: nil, `{"failed":["e2"]}`: {"e2"}, ` {"took":1,"failed":["e3","e1","e3"]}`: {"e1", "e3"}, `{"failed":["e1","e2","e3"]}`: all,
		``: all, `ok`: all, `{}`: all, `[]`: all, `null`: all, `{"failed":null}`: nil, `{"failed":"e1"}`: all, `{"failed":[1]}`: all,
		"\ufeff" + `{"failed":["e2"]}`: {"e2"}, // some frameworks begin every text with it
		`{"failed":["e1"`:              all, `{"failed":[]} {`: all, `{"failed":["e4"]}`: all, `{"failed":[""]}`: all, long: all,
	} {
		for _, partial := range []bool{true, false} {
			rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
			var left int
			results := newEndpoint(t, rec.URL, batched(partial)).SendBatch(t.Context(), newBatch(&left, `1`, `2`, `3`))
			var got []string
			for i := range results {
				if !results[i].Delivered {
					got = append(got, results[i].Attempt.EventID)
					require.NotEmpty(t, results[i].Attempt.Error)
				} else {
					require.Empty(t, results[i].Attempt.Error)
				}
			}
			if partial {
				require.Equal(t, failed, got, "%.40s", answer)
			} else {
				require.Empty(t, got, "%.40s", answer)
			}
		}
	}
}

// TestTheHeadersOfABatchAreKeptOnce: those of the request and of its answer are the same for all of
// its events, of which there may be thousands.
func TestTheHeadersOfABatchAreKeptOnce(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Open", "seen") })
	c := newClient(t, webhook.Options{Network: loopback()})
	c.KeepHeaders(true)
	var left int
	results := endpointOf(t, c, rec.URL, batched(false)).SendBatch(t.Context(), newBatch(&left, `1`, `2`, `3`))
	for i, res := range results {
		require.Equal(t, i == 0, res.Attempt.RequestHeaders != nil, "event %d", i)
		require.Equal(t, i == 0, res.Attempt.ResponseHeaders["x-open"] == "seen", "event %d", i)
	}
}

// TestAnAnswerMayNameEveryEvent: however many share a request, there is room to name them all, on
// either protocol. What is kept of the answer does not grow with that.
func TestAnAnswerMayNameEveryEvent(t *testing.T) {
	t.Parallel()
	const events = 1000
	payloads := slices.Repeat([]string{`1`}, events)
	for protocol, start := range map[string]func(*httptest.Server){"HTTP/1.1": plainHTTP, "HTTP/2": withH2} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var left int
			b := newBatch(&left, payloads...)
			names := make([]string, 0, events)
			for i := range b.Requests {
				b.Requests[i].Event.ID = fmt.Sprintf("0198c1f2-6f0a-7b52-a3a5-0d2f4c%06d", i)
				if i%2 == 0 {
					names = append(names, b.Requests[i].Event.ID)
				}
			}
			answer, err := json.MarshalIndent(map[string]any{"failed": names}, "", "    ")
			require.NoError(t, err)
			rec := newReceiver(t, start, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) })
			o := webhook.Options{Network: loopback()}
			if protocol == "HTTP/2" {
				o.Roots = rootsOf(t, rec)
			}
			e := endpointOf(t, newClient(t, o), rec.URL, batched(true), func(ep *config.Endpoint) { ep.Batch.Events = events })
			results := e.SendBatch(t.Context(), b)
			require.Zero(t, left)
			for i := range results {
				require.Equal(t, i%2 == 1, results[i].Delivered, "%d: %s", i, results[i].Attempt.Error)
			}
			require.Len(t, results[0].Attempt.ResponseBody, 16<<10)
			require.True(t, results[0].Attempt.ResponseTruncated)
		})
	}
}

// TestAnswersThatAreReadAreNotCompressed: requests whose answer says something ask for it as it is;
// a receiver that compresses it all the same learns why it is not understood.
func TestAnswersThatAreReadAreNotCompressed(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zip, `{"failed":[]}`)
	require.NoError(t, zip.Close())
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		if coding := r.Header.Get("Accept-Encoding"); coding == "identity" && r.URL.Path == "/just" {
			_, _ = io.WriteString(w, `{"failed":[]}`)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})
	var left int
	require.True(t, newEndpoint(t, rec.URL+"/just", batched(true)).SendBatch(t.Context(), newBatch(&left, `1`))[0].Delivered)
	echo := func(ep *config.Endpoint) { ep.Verify = config.VerifyEcho }
	held := func() bool { return true }
	for name, res := range map[string]webhook.Result{
		"batch": newEndpoint(t, rec.URL, batched(true)).SendBatch(t.Context(), newBatch(&left, `1`))[0],
		"echo":  newEndpoint(t, rec.URL, echo).Verify(t.Context(), held),
	} {
		require.False(t, res.Delivered, name)
		require.Contains(t, res.Attempt.Error, "compressed", name)
	}
	own := newEndpoint(t, rec.URL, batched(true), func(ep *config.Endpoint) { ep.Headers = map[string]string{"Accept-Encoding": "br"} })
	own.SendBatch(t.Context(), newBatch(&left, `1`))
	var last received
	for len(rec.requests) > 0 {
		last = <-rec.requests
	}
	require.Equal(t, []string{"br"}, last.header["Accept-Encoding"])
}

// TestAnswersWithNothingToName: a 204 has no body to name anything in; one that is cut short, or a
// failure, takes no event.
func TestAnswersWithNothingToName(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]bool{
		"HTTP/1.1 204 No Content\r\n\r\n": true, "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"failed\":[]}": false,
		"HTTP/1.1 500 No\r\nContent-Length: 13\r\n\r\n{\"failed\":[]}": false,
	} {
		s := newScript(t, says(head, false))
		var left int
		for _, res := range newEndpoint(t, s.url, batched(true)).SendBatch(t.Context(), newBatch(&left, `1`, `2`)) {
			require.Equal(t, want, res.Delivered, head)
		}
	}
}

// TestABatchHasTheVersionOfItsEndpoint: every event that has versions is brought to that one.
func TestABatchHasTheVersionOfItsEndpoint(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	var left int
	b := newBatch(&left, `{"total": {"amount": 9.50}}`, `{"total": {"amount": 1}}`, `{"total": 7}`)
	b.Requests[2].Event.ID, b.Requests[2].Event.Type = "op_1", "webhook.failed"
	results := newEndpoint(t, rec.URL, batched(false), pins(t, "2025-01-01")).SendBatch(t.Context(), b)
	require.Len(t, results, 3)
	got := <-rec.requests
	var events []struct {
		Data map[string]json.Number `json:"data"`
	}
	require.NoError(t, json.Unmarshal(got.body, &events))
	require.Equal(t, []json.Number{"9.50", "1", "7"}, []json.Number{events[0].Data["total"], events[1].Data["total"], events[2].Data["total"]})
	require.Equal(t, "2025-01-01", got.header.Get("webhook-version"))
}
