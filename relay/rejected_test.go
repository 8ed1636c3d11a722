package relay_test

import (
	"fmt"
	"net/http"
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
