package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Answers of the API, and what a person reads of them: the whole of stdout and of stderr.
func TestAnswersAreShownToPeople(t *testing.T) {
	t.Parallel()
	for args, test := range map[string]struct {
		answer         string
		code           int
		stdout, stderr string
	}{
		"deliveries": {answer: `{"data": [
			{"event_id": "a", "event_type": "t", "endpoint_id": "s", "state": "dead", "reason": "gone", "attempts": 3, "last_status": 503, "last_error": "too long"},
			{"event_id": "b", "last_status": 410}, {"event_id": "c", "last_error": "refused", "next_attempt_at": "2026-03-14T09:00:00+01:00"}]}`, stdout: `
EVENT  TYPE  ENDPOINT  STATE  REASON  ATTEMPTS  NEXT                  LAST
a      t     s         dead   gone    3         -                     503: too long
b      -     -         -      -       0         -                     410
c      -     -         -      -       0         2026-03-14T08:00:00Z  refused
`},
		"endpoints": {answer: `{"data": [{"id": "a", "name": "Anna's", "status": "active", "unverified": true, "source": "api", "tenant": "t", "url": "u",
			"events": ["x.*", "y"], "stats": {"successful": 7, "failed": 1}}, {"id": "b", "name": "b", "status": "paused"}]}`, stdout: `
ID  NAME    STATUS              SOURCE  TENANT  EVENTS  DELIVERED  FAILED  URL
a   Anna's  active, unverified  api     t       x.*,y   7          1       u
b   -       paused              -       -       all     0          0       -
`},
		"events e": {answer: `{"id": "e", "type": "order.paid", "created_at": "2026-03-14T08:00:00Z", "deliveries": [{"event_id": "e", "endpoint_id": "s", "state": "pending", "reason": "retry", "attempts": 2}], "attempts": [
			{"event_id": "e", "number": 2, "outcome": "retry", "duration_ms": 1.5, "error": "no answer", "attempted_at": "2026-03-14T08:00:01Z"}]}`, stdout: `
event     e
type      order.paid
created   2026-03-14T08:00:00Z

EVENT  TYPE  ENDPOINT  STATE    REASON  ATTEMPTS  NEXT  LAST
e      -     s         pending  retry   2         -     -

AT                    EVENT  TYPE  ENDPOINT  ATTEMPT  OUTCOME  STATUS  MS  ERROR
2026-03-14T08:00:01Z  e      -     -         2        retry    -       2   no answer
`},
		"attempts":                {answer: `{"data": [{"number": 1}]}`, stdout: "AT  EVENT  TYPE  ENDPOINT  ATTEMPT  OUTCOME  STATUS  MS  ERROR\n-   -      -     -         1        -        -       0   -\n"},
		"endpoints --json":        {answer: "{\"data\": [{\"id\": \"a\",\n \"more\": 1}, {\"id\": \"b\"}]}", stdout: `{"id":"a","more":1}` + "\n" + `{"id":"b"}` + "\n"},
		"explain e --json":        {answer: `{"endpoints": [{"endpoint_id": "a"}]}`, stdout: `{"endpoints":[{"endpoint_id":"a"}]}` + "\n"},
		"resend --all":            {answer: `{"id": "rs_1", "total": 12}`, stdout: "resend rs_1 of 12 deliveries has begun\n"},
		"resend --event e":        {answer: `{"id": "rs_1"}`, stdout: "resend rs_1 has begun\n"},
		"resend --type t --wait":  {answer: `{"matched": 1, "changed": 1}`, stdout: "1 delivery queued\n"},
		"resend --all --dry-run":  {answer: `{"matched": 2}`, stdout: "2 deliveries would be attempted; nothing was changed\n"},
		"resend --tenant t":       {answer: `{"matched": 0, "changed": 0}`, stdout: "0 deliveries queued\n"},
		"discard --all --dry-run": {answer: `{"matched": 2, "dry_run": true}`, stdout: "2 deliveries would be discarded; nothing was changed\n"},
		"replay --endpoint s":     {answer: `{"id": "rp_1", "state": "pending"}`, stdout: "replay rp_1 has begun\n", stderr: "Try: tailpost replay watch rp_1\n"},
		"replay --endpoint s --dry-run": {
			answer: `{"note": "too many to count"}`, stderr: "tailpost: too many to count\n",
			stdout: "more events than can be counted in some seconds would be looked at; nothing was changed\n",
		},
		"replay --endpoint t --dry-run":   {answer: `{"total": 3, "missing": 0}`, stdout: "3 events would be looked at; nothing was changed\n"},
		"replay --endpoint s --json":      {answer: `{"id": "rp_1"}`, stdout: `{"id":"rp_1"}` + "\n"},
		"replay --endpoint u --dry-run":   {answer: `{"total": 1}`, stdout: "1 event would be looked at; nothing was changed\n"},
		"replay --endpoint s --type gone": {answer: `{"id": "rp_1"}`, stdout: "replay rp_1 has begun\n", stderr: "Try: tailpost replay watch rp_1\n"},
		"replay watch rp_1": {
			answer: `{"id": "rp_1", "endpoint_id": "s", "state": "done", "total": 3, "done": 3, "note": "one was left out"}`, stderr: "tailpost: one was left out\n",
			stdout: "ID    ENDPOINT  STATE  TOTAL  DONE  QUEUED  MISSING  CREATED\nrp_1  s         done   3      3     0       -        -\n",
		},
		"resend watch rs_1": {
			answer: `{"id": "rs_1", "state": "cancelled", "total": 3, "queued": 2}`, code: exitFailed,
			stdout: "ID    STATE      TOTAL  QUEUED  CREATED\nrs_1  cancelled  3      2       -\n",
		},
		"replay missing rp_1": {
			answer: `{"data": [{"event_id": "e", "event_type": "t", "outcome": "dead", "attempted_at": "2026-03-14T08:00:00Z"}]}`,
			stdout: "ATTEMPTED             EVENT  TYPE  OUTCOME\n2026-03-14T08:00:00Z  e      t     dead\n",
		},
		"test s": {
			answer: `{"event_id": "e", "outcome": "retry", "number": 1, "status_code": 500}`, code: exitFailed,
			stdout: "AT  EVENT  TYPE  ENDPOINT  ATTEMPT  OUTCOME  STATUS  MS  ERROR\n-   e      -     -         1        retry    500     0   -\n",
		},
		"status": {answer: `{"slot": "shop", "epoch": 2, "holder": "h/1", "slot_state": {"exists": true, "active": true, "lag_bytes": 512, "retained_bytes": 2048},
			"queue": {"pending": 3, "dead": 1, "oldest_pending_at": "2026-03-14T08:00:00Z"}, "this": {"owner": "h/1", "state": "delivering"},
			"publishing": {"unpublished_since": "2026-03-14T08:00:00Z"}, "settled_at": "2026-03-14T08:00:00Z",
			"partitions": [{"number": 1, "owner": "h/2", "behind_bytes": 1}]}`, stdout: `
answered by  h/1, delivering
slot         shop: streaming, taken 2 times, last by h/1
log          512 B not confirmed, 2.0 KiB kept
settled      2026-03-14T08:00:00Z
audited      never
pending      3, the oldest from 2026-03-14T08:00:00Z
dead         1
publishing   to nobody, the relay that has the slot delivers alone: NATS has taken nothing since 2026-03-14T08:00:00Z

PARTITION  OWNER  SETTLED  BEHIND  RECORDED
1          h/2    -        1 B     -
`},
	} {
		asked := requests{answer: test.answer}
		code, stdout, stderr := askAPI(t, asked.handler(t), strings.Fields(args)...)
		require.Equal(t, test.code, code, "%s: %s", args, stderr)
		require.Equal(t, strings.TrimPrefix(test.stdout, "\n"), stdout, args)
		require.Equal(t, test.stderr, stderr, args)
	}
}

// What the API refuses is told with all that it says, with where to look where that helps, and
// nothing of it is a result.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	const refused = `{"detail": "No.", "errors": [{"detail": "Odd.", "parameter": "type"}, {"detail": "Late.", "pointer": "/since"}]}`
	for _, test := range []struct {
		args   string
		status int
		try    string
	}{
		{"events", http.StatusUnprocessableEntity, ""},
		{"events", http.StatusUnauthorized, "Try: $TAILPOST_API_KEY with a key that may do this\n"},
		{"events", http.StatusForbidden, "Try: $TAILPOST_API_KEY with a key that may do this\n"},
		{"events e", http.StatusNotFound, "Try: tailpost events, which lists what there is\n"},
		{"explain e", http.StatusNotFound, "Try: tailpost events, which lists what there is\n"},
		{"test s", http.StatusNotFound, "Try: tailpost endpoints, which lists what there is\n"},
		{"discard --event=e", http.StatusNotFound, "Try: tailpost deliveries, which lists what there is\n"},
		{"replay --endpoint=s", http.StatusNotFound, "Try: tailpost endpoints, which lists what there is\n"},
		{"replay cancel rp_1", http.StatusNotFound, "Try: tailpost replay list, which lists what there is\n"},
		{"resend watch rs_1", http.StatusNotFound, "Try: tailpost resend list, which lists what there is\n"},
		{"status", http.StatusNotFound, ""},
	} {
		code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = fmt.Fprint(w, refused)
		}, strings.Fields(test.args)...)
		require.Equal(t, exitFailed, code, test.args)
		require.Empty(t, stdout, test.args)
		require.Equal(t, fmt.Sprintf("tailpost: the API answers %d: No.; type: Odd.; /since: Late.\n", test.status)+test.try, stderr, test.args)
	}
}

// Whoever discards knows what is gone already, should the API refuse the rest.
func TestADiscardThatIsRefusedSaysHowMuchItDid(t *testing.T) {
	t.Parallel()
	for refusedAt, want := range map[int64]string{1: "", 3: "tailpost: 2000 deliveries discarded so far\n"} {
		var calls atomic.Int64
		code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == refusedAt {
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = fmt.Fprint(w, `{"detail": "Later."}`)
				return
			}
			_, _ = fmt.Fprint(w, `{"matched": 1000, "changed": 1000, "more": true}`)
		}, "discard", "--all", "--json")
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.True(t, strings.HasSuffix(stderr, want+"tailpost: the API answers 429: Later.\n"), stderr)
		require.Equal(t, want != "", strings.Contains(stderr, "so far"))
	}
}

// An event that many endpoints got is explained for all of them.
func TestAnExplanationGoesOnToItsLastPage(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"":  `{"endpoints": [{"endpoint_id": "a", "verdict": "delivered", "sentence": "It got it."}], "next_cursor": "p"}`,
		"p": `{"endpoints": [{"endpoint_id": "b", "verdict": "not_wanted", "sentence": "It wants other types."}]}`,
	}
	code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, pages[r.URL.Query().Get("cursor")])
	}, "explain", "e")
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, "a: delivered. It got it.\nb: not_wanted. It wants other types.\n", stdout)
}

// A list says that the endpoint it is of does not exist only where the list has nothing on any
// page, and the API says so.
func TestAListOfNothingAsksForItsEndpoint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		first, endpoint string
		status, want    int
	}{
		{`{"data": [{"event_id": "e"}], "next_cursor": "p"}`, `{"detail": "No."}`, http.StatusNotFound, exitOK},
		{`{"data": [], "next_cursor": "p"}`, `{"detail": "No."}`, http.StatusNotFound, exitFailed},
		{`{"data": [], "next_cursor": "p"}`, `{"detail": "No."}`, http.StatusForbidden, exitOK},
		{`{"data": [], "next_cursor": "p"}`, `{}`, http.StatusOK, exitOK},
	} {
		code, _, stderr := askAPI(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/v1/endpoints/s":
				w.WriteHeader(test.status)
				_, _ = fmt.Fprint(w, test.endpoint)
			case r.URL.Query().Get("cursor") == "":
				_, _ = fmt.Fprint(w, test.first)
			default:
				_, _ = fmt.Fprint(w, `{"data": []}`)
			}
		}, "attempts", "--endpoint", "s")
		require.Equal(t, test.want, code, "%+v: %s", test, stderr)
	}
}
