package relay_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is dead because the mapping did not fit is read again from its row and routed when somebody
// resends it, in the order of its commit; what still is no event is dead again with its reason, and
// nothing waits for an endpoint that does not exist.
func TestRejectedRowsAreReadAgain(t *testing.T) {
	t.Parallel()
	for name, resend := range map[string]string{
		"many": `{"all": true}`,
		"one":  `{"event_id": %q, "endpoint_id": "*"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupQueue(t)
			b.endpoint(t, `, "ordering": "key"`)
			b.exec(t, "ALTER TABLE public.outbox RENAME COLUMN type TO kind")
			for n := range 3 {
				b.exec(t, "INSERT INTO public.outbox (id, kind, key, payload) VALUES ($1, 'order.created', 'k', '{}')", eventID(n))
			}
			const dead = "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = '*' AND state = 'dead'"
			b.awaitCount(t, 3, dead)
			b.exec(t, "ALTER TABLE public.outbox RENAME COLUMN kind TO type")
			b.exec(t, "DELETE FROM public.outbox WHERE id = $1", eventID(2))

			for n := range 3 {
				if name == "many" && n > 0 {
					break
				}
				body := resend
				if name == "one" {
					body = fmt.Sprintf(resend, eventID(n))
				}
				status, answer := ask(t, http.DefaultClient, http.MethodPost, b.url+"/v1/deliveries/resend", body)
				require.Less(t, status, 300, "%v", answer)
				if name == "one" && n < 2 {
					require.Equal(t, eventID(n), b.next(t))
				}
			}
			if name == "many" {
				require.Equal(t, eventID(0), b.next(t))
				require.Equal(t, eventID(1), b.next(t))
			}
			b.awaitCount(t, 1, dead+" AND last_error LIKE 'its row is gone%'")
			b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery")
			b.awaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
		})
	}
}

// What an endpoint has of an event it does not get again when the event is read again for everyone.
func TestRejectedRowsGoToWhoHasNone(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	had, waits := b.endpoint(t, ""), b.endpoint(t, "")
	b.exec(t, "ALTER TABLE public.outbox RENAME COLUMN type TO kind")
	b.exec(t, "INSERT INTO public.outbox (id, kind, payload) VALUES ($1, 'order.created', '{}')", eventID(1))
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = '*' AND state = 'dead'")
	b.exec(t, "ALTER TABLE public.outbox RENAME COLUMN kind TO type")
	b.exec(t, `INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, duration_ms, attempted_at, commit_lsn)
		VALUES ($1, 'order.created', $2, 1, 'replay', 'https://example.com/in', 'delivered', 200, 1, now(), '0/10')`, eventID(1), had)
	b.post(t, "/v1/deliveries/resend", `{"all": true}`)
	require.Equal(t, eventID(1), b.next(t))
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery")
	for id, want := range map[string]int{had: 1, waits: 1} {
		require.Equal(t, want, b.count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1", id))
	}
}

// Whatever makes a row no event, it is on record under its own id where that can be, with the
// reason; pages agree about it, and reading it again says the reason again.
func TestRowsThatAreNoEventsHaveOneStory(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	b.endpoint(t, "")
	b.exec(t, "ALTER TABLE public.outbox ALTER id DROP DEFAULT, ALTER id TYPE text, ALTER payload TYPE text, ALTER type DROP NOT NULL")
	long := strings.Repeat("K", 1500)
	cases := map[string]struct {
		id, why, kind string // the type that is on record
		row           []any  // type, key, tenant, payload
	}{
		"a long key":    {"long-key", "key of the event is longer", "order.created", []any{"order.created", long, nil, "{}"}},
		"a long type":   {"long-type", "type of the event is longer", "", []any{long, nil, nil, "{}"}},
		"a long tenant": {"long-tenant", "tenant of the event is longer", "order.created", []any{"order.created", nil, long, "{}"}},
		"no type":       {"no-type", "is NULL or empty", "", []any{nil, nil, nil, "{}"}},
		"no JSON":       {"no-json", "JSON", "order.created", []any{"order.created", nil, nil, "{no"}},
		"a long id":     {long, "id of the event is longer", "order.created", []any{"order.created", nil, nil, "{}"}},
	}
	for _, c := range cases {
		b.exec(t, "INSERT INTO public.outbox (id, type, key, tenant, payload) VALUES ($1, $2, $3, $4, $5)", append([]any{c.id}, c.row...)...)
	}
	b.awaitCount(t, len(cases), "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND reason = 'invalid'")
	told := func() {
		t.Helper()
		for name, c := range cases {
			id := c.id
			if len(id) > 1000 {
				require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT event_id FROM tailpost.delivery WHERE event_id LIKE 'msg%'").Scan(&id))
			}
			status, event := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/events/"+id, "")
			require.Equal(t, http.StatusOK, status, "%s: %v", name, event)
			deliveries, _ := event["deliveries"].([]any)
			require.Len(t, deliveries, 1, name)
			delivery, _ := deliveries[0].(map[string]any)
			require.Equal(t, "dead", delivery["state"], name)
			require.Equal(t, c.kind, delivery["event_type"], name)
			require.Contains(t, delivery["last_error"], c.why, name)
			status, list := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/events?id="+id, "")
			require.Equal(t, http.StatusOK, status, name)
			events, _ := list["data"].([]any)
			require.Len(t, events, 1, name)
			first, _ := events[0].(map[string]any)
			require.Equal(t, "dead", first["state"], name)
			status, why := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/events/"+id+"/explain", "")
			require.Equal(t, http.StatusOK, status, "%s: %v", name, why)
		}
		_, complete := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/relay/completeness", "")
		require.Empty(t, complete["unaccounted"])
	}
	told()
	b.post(t, "/v1/deliveries/resend", `{"all": true}`)
	b.awaitCount(t, len(cases), "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND updated_at > created_at")
	told()
}
