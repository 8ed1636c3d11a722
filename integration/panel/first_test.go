package panel_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// Whoever has no event yet is told how to write one, into the table that there is: what a page
// shows works as it stands, and then the page shows what became of it.
func TestTheFirstEventIsWrittenAsThePagesSay(t *testing.T) {
	t.Parallel()
	for name, hcl := range map[string]string{
		"the default table": "",
		"a table of the application's": `
outbox {
  table   = "public.Shop events"
  columns = { id = "event_id", type = "Kind", payload = "body", key = null, tenant = null, headers = null, created_at = "at" }
}
`,
		"logical messages": `
outbox { messages = "shop's" }
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgschema.NewDB(t)
			w := &world{t: t, conn: db.Conn(t), receiver: kit.NewReceiver(t)}
			_, err := schema.Migrate(t.Context(), w.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
			require.NoError(t, err)
			w.exec(`CREATE TABLE public."Shop events" (event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "Kind" text NOT NULL, body jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now())`)
			w.start(db.URL, slotOf(db), keyedHCL+hcl)
			v := loggedIn(t, w, adminKey)
			page := v.get("/panel/").body
			require.Contains(t, page, "there is no endpoint")
			sql := textOf(t, page, "first-event")
			id := w.endpoint("A", "/a", map[string]any{"events": []string{"order.*"}})
			for path, says := range map[string]string{"/panel/": "there is no event", "/panel/log": "Nothing was sent yet"} {
				if path == "/panel/" && name == "logical messages" {
					continue // whether there was one, nobody knows
				}
				page := v.get(path).body
				require.Contains(t, page, says, path)
				require.Equal(t, sql, textOf(t, page, "first-event"), path)
			}
			w.exec(sql)
			got := w.receiver.Await(t, "/a", 1)[0]
			require.Equal(t, http.MethodPost, got.Method)
			require.Contains(t, string(got.Body), `"type":"order.created"`)
			require.Contains(t, string(got.Body), `"total"`)
			w.attempts(id, 1)
			require.NotContains(t, v.get("/panel/").body, "there is no event")
			require.NotContains(t, v.get("/panel/log").body, "Nothing was sent yet")
		})
	}
}

// What waits for a person has no time at which it is due.
func TestWhatWaitsForAPersonIsNotDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/gone", kit.Respond(http.StatusGone, ""))
	id := w.endpoint("A", "/gone", map[string]any{"retry": map[string]any{"schedule": []string{"1h"}}})
	event := w.insert("order.created", "", "{}")
	kit.Eventually(t, kit.Patience, func() error { return w.parked(event) })
	w.attempts(id, 1)
	kit.Eventually(t, kit.Patience, func() error {
		var n int
		return w.conn.QueryRow(t.Context(), "SELECT 1 FROM tailpost.delivery WHERE event_id = $1 AND reason = 'disabled' AND next_attempt_at IS NOT NULL", event).Scan(&n)
	})
	v := loggedIn(t, w, adminKey)
	story := v.get("/panel/events/" + event).body
	require.Contains(t, story, "it goes out when the endpoint is enabled.")
	require.NotContains(t, story, "Due at")
	require.NotContains(t, story, "Next attempt")
	for _, path := range []string{"/panel/undelivered?state=pending", "/panel/endpoints/" + id} {
		require.Contains(t, v.get(path).body, `<span class="none">once it is enabled</span>`, path)
	}
	why, _ := w.call(http.MethodGet, "/v1/events/"+event+"/explain", nil)["endpoints"].([]any)
	first, _ := why[0].(map[string]any)
	require.NotContains(t, first["sentence"], "Due at")
}

// What goes wrong is said in words, with a way on.
func TestProblemsAreSaidInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := loggedIn(t, w, adminKey)
	wrong := v.get("/panel/log?since=yesterday&type=a").body
	require.Contains(t, wrong, "<h1>Something is to be corrected</h1>")
	require.Contains(t, wrong, `<a class="btn" href="/panel/log">Without the filter</a>`)
	none := v.get("/panel/endpoints/nobody").body
	require.Contains(t, none, "<h1>Nothing is here</h1>")
	require.NotContains(t, none, "Without the filter")
}
