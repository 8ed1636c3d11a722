package panel_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tailpost/tailpost/integration/kit"
)

// Lists that share a page are copied one by one: each has the statement that finds its rows.
func TestCopiedSQLIsThePart(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	own := s.endpoint("Acme's own", "/dead", map[string]any{"tenant": "acme", "events": []string{"order.*"}})
	s.insert("order.created", "acme", "{}")
	s.attempts(own, 1)
	s.exec(`
INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at)
SELECT slot, 'slot_lost', '0/1', '0/2', 3, 2, now(), now() FROM tailpost.relay, generate_series(1, 3)`)
	s.exec(`
INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at, missing, missing_found)
VALUES ('rp_1', $1, '{}', now(), 'done', now(), now(), 4, 4)`, own)
	s.exec(`
INSERT INTO tailpost.replay_missing (replay_id, event_id, event_type, attempted_at, outcome)
SELECT 'rp_1', 'gone-' || i, 'order.created', now(), 'dead' FROM generate_series(1, 4) AS i`)
	for who, v := range map[string]*visitor{"the administrator": loggedIn(t, s.world, adminKey), "acme": loggedIn(t, s.world, s.key("acme's", "acme"))} {
		for path, parts := range map[string][]string{
			"/panel/": {"trouble", "errors", "types", "answers"}, "/panel/endpoints/" + own: {"types", "answers"}, "/panel/replays/rp_1": {"missing"}, "/panel/relay": {"gaps"},
		} {
			if who == "acme" && path == "/panel/relay" {
				continue // it is for those who see every tenant
			}
			page := v.get(path)
			require.Equal(t, http.StatusOK, page.status, "%s of %s: %s", path, who, page.body)
			for _, part := range parts {
				shown := firstCells(t, page.body, part)
				require.NotEmpty(t, shown, "%s of %s, for %s", part, path, who)
				sql := textOf(t, page.body, part+"-sql")
				rows, err := s.conn.Query(t.Context(), sql)
				require.NoError(t, err, "%s\n%s", path, sql)
				found, err := pgx.CollectRows(rows, pgx.RowToMap)
				require.NoError(t, err, "%s\n%s", path, sql)
				require.Len(t, found, len(shown), "%s of %s, for %s: %v\n%s", part, path, who, shown, sql)
				require.Equal(t, http.StatusOK, s.curled(textOf(t, page.body, part+"-curl")), part)
			}
		}
	}
}

// firstCells are the first cells of the rows within the element with an id, without those that sum
// up what has no row of its own.
func firstCells(t *testing.T, page, id string) (cells []string) {
	t.Helper()
	for _, n := range nodes(t, page) {
		if attribute(n, "id") != id {
			continue
		}
		for row := range n.Descendants() {
			if row.Data != "tr" || row.Parent.Data != "tbody" {
				continue
			}
			var b strings.Builder
			for c := range row.FirstChild.Descendants() {
				if c.Type == html.TextNode {
					b.WriteString(c.Data)
				}
			}
			if cell := b.String(); cell != "others" && !strings.HasPrefix(cell, "not known") {
				cells = append(cells, cell)
			}
		}
	}
	return cells
}

// curled is the status of the call that a command makes.
func (w *world) curled(command string) int {
	w.t.Helper()
	_, after, found := strings.Cut(command, "curl -sS '")
	require.True(w.t, found, command)
	at, _, _ := strings.Cut(after, "'")
	_, err := url.Parse(at)
	require.NoError(w.t, err)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, at, nil)
	require.NoError(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.admin)
	res, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer res.Body.Close()
	return res.StatusCode
}

// A filter that cannot be read shows nothing else in its place, and changes nothing.
func TestATimeThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v := loggedIn(t, s.world, adminKey)
	for _, path := range []string{"/panel/log?since=yesterday", "/panel/log?until=13:00", "/panel/events?since=1y", "/panel/undelivered?since=monday", "/panel/endpoints/" + s.dead + "/log?since=x"} {
		got := v.get(path)
		require.Equal(t, http.StatusUnprocessableEntity, got.status, path)
		require.Contains(t, got.body, "Write a time such as 2026-05-01 14:00 (UTC), or a span before now such as 24h or 7d.", path)
	}
	dead := s.count("SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'")
	for _, form := range []string{"confirm", "act"} {
		got := v.post("/panel/undelivered/"+form, "which", "all", "act", "discard", "state", "dead", "since", "monday")
		require.Equal(t, http.StatusUnprocessableEntity, got.status, got.body)
	}
	require.Equal(t, dead, s.count("SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
}

// People know endpoints by their names; a name that two have is none.
func TestAFilterTakesTheNameOfAnEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/bad", kit.Respond(http.StatusInternalServerError, ""))
	erp := w.endpoint("ERP sync", "/bad", nil)
	twins := []string{w.endpoint("Twin", "/bad", nil), w.endpoint("Twin", "/bad", nil)}
	id := w.insert("order.created", "", "{}")
	for _, endpoint := range append(twins, erp) {
		w.attempts(endpoint, 1)
	}
	kit.Eventually(t, kit.Patience, func() error { return w.parked(id) })
	v := loggedIn(t, w, adminKey)
	for _, page := range []string{"log", "undelivered"} {
		for text, rows := range map[string]int{"ERP+sync": 1, "erp+SYNC": 1, erp: 1, "nobody": 0} {
			got := v.get("/panel/" + page + "?endpoint=" + text)
			require.Equal(t, rows, listed(t, got.body), "%s of %s", page, text)
		}
		require.Contains(t, v.get("/panel/"+page+"?endpoint=ERP+sync").body, `name="endpoint" value="`+erp+`"`)
	}

	// A name that two have is neither's, and the page says whose it is.
	w.endpoint("billing", "/good", map[string]any{"tenant": "acme"})
	for _, page := range []string{"log", "undelivered"} {
		got := v.get("/panel/" + page + "?endpoint=twin")
		require.Equal(t, http.StatusUnprocessableEntity, got.status, page)
		for _, twin := range twins {
			require.Contains(t, got.body, twin, page)
		}
		require.Equal(t, 1, listed(t, v.get("/panel/"+page+"?endpoint="+twins[0]).body), page)
	}
	require.Contains(t, v.get("/panel/events/"+id).body, "Twin ("+twins[0]+")")
	require.Contains(t, v.get("/panel/log").body, "Twin ("+twins[1]+")")

	// Whoever names an endpoint as another one's id takes over none of its links.
	w.endpoint(erp, "/good", map[string]any{"tenant": "acme"})
	for _, page := range []string{"log", "undelivered"} {
		require.Equal(t, 1, listed(t, v.get("/panel/"+page+"?endpoint="+erp).body), page)
	}

	// The find box knows a name that one has.
	require.Contains(t, v.get("/panel/find?q=ERP+sync").header.Get("Location"), "/panel/endpoints/"+erp)
}

// A pattern of types that a list does not take is refused, and says where it is taken.
func TestAPatternIsTakenOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.attempts(w.endpoint("A", "/a", nil), 0)
	w.insert("order.created", "", "{}")
	v := loggedIn(t, w, adminKey)
	for _, page := range []string{"log", "undelivered"} {
		got := v.get("/panel/" + page + "?type=order.*")
		require.Equal(t, http.StatusUnprocessableEntity, got.status, page)
		require.Contains(t, got.body, "Patterns with * are for the list of events.", page)
	}
	require.Equal(t, 1, listed(t, v.get("/panel/events?type=order.*").body))

	// An id names one event: what else is asked for is not left out in silence.
	got := v.get("/panel/events?id=nobody&type=order.created")
	require.Equal(t, http.StatusUnprocessableEntity, got.status)
	require.Contains(t, got.body, "It names one event")
}

// Whoever resends several is told of several.
func TestSeveralThatWereSelectedAreResent(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v := loggedIn(t, s.world, adminKey)
	rows, err := s.conn.Query(t.Context(), "SELECT 'dead ' || endpoint_id || ' ' || event_id FROM tailpost.delivery WHERE state = 'dead' LIMIT 3")
	require.NoError(t, err)
	chosen, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, chosen, 3)
	for says, some := range map[string][]string{"The delivery is queued.": chosen[:1], "2 deliveries are queued.": chosen[1:]} {
		form := []string{"which", "some", "act", "resend", "state", "dead"}
		for _, one := range some {
			form = append(form, "delivery", one)
		}
		done := v.post("/panel/undelivered/act", form...)
		require.Equal(t, http.StatusSeeOther, done.status, done.body)
		require.Contains(t, v.get(done.header.Get("Location")).body, says)
	}
}
