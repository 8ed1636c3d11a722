package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requests keeps what a command asks, a line each, and gives every request the same answer.
type requests struct {
	answer string

	mu    sync.Mutex
	lines []string
}

// handler takes the requests of a test.
func (r *requests) handler(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		assert.NoError(t, err)
		assert.Equal(t, "application/json", req.Header.Get("Accept"))
		assert.Equal(t, "Bearer a-key", req.Header.Get("Authorization"))
		contentType := ""
		if len(body) > 0 {
			contentType = "application/json"
		}
		assert.Equal(t, contentType, req.Header.Get("Content-Type"), "%s %s", req.Method, req.RequestURI)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lines = append(r.lines, strings.TrimSpace(req.Method+" "+req.RequestURI+" "+string(body)))
		_, _ = io.WriteString(w, r.answer)
	}
}

// The request is all that the API knows of a command line: what a flag chooses and the request does
// not say is done to more than was asked for.
func TestWhatTheFlagsSayIsWhatTheAPIIsAsked(t *testing.T) {
	t.Parallel()
	const (
		from, to  = "2026-03-14T08:00:00Z", "2026-03-14T12:00:00Z"
		selection = "--event e --endpoint s --type a --type b --tenant t --reason r --state pending --since " + from + " --until " + to + " --dry-run"
		selected  = `{"event_id":"e","endpoint_id":"s","event_types":["a","b"],"tenant":"t","reason":"r","state":"pending","since":"` + from + `","until":"` + to + `","dry_run":true}`
	)
	for args, want := range map[string]string{
		"resend " + selection:  "POST /v1/deliveries/resend " + selected,
		"discard " + selection: "POST /v1/deliveries/discard " + selected,
		"resend --all --wait":  `POST /v1/deliveries/resend {"all":true}` + "\nGET /v1/resends/x%2F1",
		"resend list --endpoint s --state done --limit 7 --json": "GET /v1/resends?endpoint_id=s&limit=7&state=done",
		"resend cancel x/1 --json":                               "POST /v1/resends/x%2F1/cancel {}",
		"resend watch x/1 --json":                                "GET /v1/resends/x%2F1",
		"replay --endpoint s --type a --type b --since " + from + " --until " + to + " --dry-run --wait": `POST /v1/replays {"endpoint_id":"s","event_types":["a","b"],"since":"` +
			from + `","until":"` + to + `","dry_run":true}`,
		"replay --endpoint s --wait":               `POST /v1/replays {"endpoint_id":"s"}` + "\nGET /v1/replays/x%2F1",
		"replay missing x/1 --limit 300 --json":    "GET /v1/replays/x%2F1/missing?limit=250",
		"replay cancel x/1":                        "POST /v1/replays/x%2F1/cancel {}",
		"attempts --json":                          "GET /v1/attempts?limit=50",
		"events e/1 --json":                        "GET /v1/events/e%2F1",
		"events --since " + from:                   "GET /v1/events?limit=50&since=2026-03-14T08%3A00%3A00Z",
		"events --search a=1 --search b=2":         "GET /v1/events?limit=50&search=a%3D1&search=b%3D2",
		"endpoints --trouble --tenant t":           "GET /v1/endpoints?limit=50&tenant=t&trouble=true",
		"endpoints --json":                         "GET /v1/endpoints?limit=50",
		"explain e/1 --json":                       "GET /v1/events/e%2F1/explain",
		"explain e/1 --endpoint s":                 "GET /v1/events/e%2F1/explain?endpoint=s",
		"pause s/1 --json":                         "POST /v1/endpoints/s%2F1/pause {}",
		"resume s/1":                               "POST /v1/endpoints/s%2F1/resume {}",
		"test s/1 --json":                          "POST /v1/endpoints/s%2F1/test {}",
		"test s --type order.paid":                 `POST /v1/endpoints/s/test {"type":"order.paid"}`,
		"status --json":                            "GET /v1/relay",
		"deliveries --event e --endpoint s --json": "GET /v1/deliveries?endpoint_id=s&event_id=e&limit=50",
	} {
		asked := requests{answer: `{"data": [{}], "id": "x/1", "state": "done", "matched": 1, "outcome": "delivered", "slot_state": {"active": true}}`}
		code, _, stderr := askAPI(t, asked.handler(t), strings.Fields(args)...)
		require.Equal(t, exitOK, code, "%s: %s", args, stderr)
		require.Equal(t, want, strings.Join(asked.lines, "\n"), args)
	}
}

// What is done to deliveries is done to those that somebody named: by anything but their state, or
// by --all, and not by both.
func TestASelectionNamesWhatItChooses(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"resend", "discard"} {
		for flags, want := range map[string]int{
			"--event=e": exitOK, "--endpoint=s": exitOK, "--type=t": exitOK, "--tenant=t": exitOK, "--reason=r": exitOK,
			"--since=1h": exitOK, "--until=1h": exitOK, "--all": exitOK, "--all --state=pending": exitOK,
			"": exitUsage, "--state=pending": exitUsage, "--dry-run": exitUsage,
			"--all --event=e": exitUsage, "--all --endpoint=s": exitUsage, "--all --type=t": exitUsage, "--all --tenant=t": exitUsage,
			"--all --reason=r": exitUsage, "--all --since=1h": exitUsage, "--all --until=1h": exitUsage,
		} {
			asked := requests{answer: `{"matched": 1}`}
			code, stdout, stderr := askAPI(t, asked.handler(t), append([]string{command}, strings.Fields(flags)...)...)
			require.Equal(t, want, code, "%s %s: %s", command, flags, stderr)
			if want == exitUsage {
				require.Empty(t, asked.lines, "%s %s: nothing is asked for", command, flags)
				require.Empty(t, stdout)
			}
		}
	}
}

// A misspelt endpoint is told where nothing was chosen, and nothing is asked where something was.
func TestAResendOfNothingAsksForItsEndpoint(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int{
		`{"matched": 0}`: 2, `{"id": "rs_1", "total": 0}`: 2,
		`{"matched": 1}`: 1, `{"id": "rs_1", "total": 5}`: 1, `{"id": "rs_1"}`: 1, `{"id": "rs_1", "matched": 5, "total": 0}`: 1,
	} {
		asked := requests{answer: answer}
		code, _, stderr := askAPI(t, asked.handler(t), "resend", "--endpoint", "s")
		require.Equal(t, exitOK, code, stderr)
		require.Len(t, asked.lines, want, answer)
		require.Equal(t, want > 1, slices.Contains(asked.lines, "GET /v1/endpoints/s"), answer)
	}
}

// A key goes in the clear within this machine only, and an address is one, without a password that
// everybody on the machine could read.
func TestAnAddressOfTheAPIIsOne(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]int{
		// Nobody listens there.
		"http://localhost:1": exitFailed, "http://127.0.0.2:1": exitFailed, "http://[::1]:1": exitFailed, "https://127.0.0.1:1": exitFailed,
		"http://10.0.0.1": exitUsage, "http://localhost.example.com": exitUsage, "http://[2001:db8::1]": exitUsage,
		"http://u:topsecret@127.0.0.1:1": exitUsage, "ftp://127.0.0.1:1": exitUsage, "https:///v1": exitUsage, "127.0.0.1:1": exitUsage, "http://[": exitUsage,
	} {
		var out, errors strings.Builder
		env := map[string]string{keyVariable: "a-key"}
		code := run(t.Context(), []string{"tailpost", "events", "--key=private", "--api", address}, func(name string) string { return env[name] }, nil, &out, &errors)
		require.Equal(t, want, code, "%s: %s", address, errors.String())
		require.Empty(t, out.String())
		require.NotContains(t, errors.String(), "topsecret")
		require.NotContains(t, errors.String(), "private", "what is looked for is nobody's business")
		if want == exitFailed {
			require.Regexp(t, `^tailpost: ask the API at \S+: connect: \w[^:]*\nTry: --api, and that a relay with an api block runs there\n$`, errors.String())
		}
	}
}

// Elsewhere it goes encrypted; where there is none, nothing of it is in the clear.
func TestAnotherMachineIsAsked(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end() // before anything leaves this machine
	for address, key := range map[string]string{"https://10.0.0.1": "a-key", "http://10.0.0.1": ""} {
		var errors strings.Builder
		env := map[string]string{keyVariable: key, apiVariable: address}
		code := run(ended, []string{"tailpost", "status"}, func(name string) string { return env[name] }, nil, io.Discard, &errors)
		require.Equal(t, exitFailed, code)
		require.Contains(t, errors.String(), "tailpost: ask the API at 10.0.0.1: context canceled\n")
	}
}

// stopsAt is stderr that stops the command once it says so.
type stopsAt struct {
	strings.Builder

	text string
	stop context.CancelFunc
}

func (s *stopsAt) Write(p []byte) (int, error) {
	n, err := s.Builder.Write(p)
	if strings.Contains(s.String(), s.text) {
		s.stop()
	}
	return n, err
}

// An interrupt ends the watching, not the work, and says how to go on.
func TestWhoStopsWatchingLeavesTheWorkRunning(t *testing.T) {
	t.Parallel()
	for command, test := range map[string]struct{ answer, says string }{
		"resend": {`{"state": "running", "total": 12, "queued": 3, "done": 9}`, "resend x_1: 3 of 12 deliveries queued (25 %)"},
		"replay": {`{"state": "running", "total": 12, "queued": 9, "done": 3}`, "replay x_1: 3 of 12 events looked at (25 %)"},
	} {
		ctx, stop := context.WithCancel(t.Context())
		said := stopsAt{text: "%)\n", stop: stop}
		asked := requests{answer: test.answer}
		code, stdout := askAPIUntil(ctx, t, asked.handler(t), &said, command, "watch", "x_1")
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.Equal(t, "tailpost: "+test.says+"\ntailpost: "+command+" x_1 goes on without being watched\n"+
			"Try: tailpost "+command+" watch x_1, or tailpost "+command+" cancel x_1\n", said.String())
	}
}

// So does one that comes while the API is asked.
func TestWhoStopsWatchingWhileItAsksLeavesTheWorkRunning(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	var errors strings.Builder
	code, stdout := askAPIUntil(ctx, t, func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	}, &errors, "replay", "watch", "x_1")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Equal(t, "tailpost: replay x_1 goes on without being watched\nTry: tailpost replay watch x_1, or tailpost replay cancel x_1\n", errors.String())
}
