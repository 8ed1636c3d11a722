package panel_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAReplayIsTheOneThatWasCounted: a form that was changed since begins nothing, and what begins
// has the times of the count.
func TestAReplayIsTheOneThatWasCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine, other := h.endpoint("", "mine"), h.endpoint("", "other")
	h.exec(`INSERT INTO public.outbox (type, payload) SELECT 'order.paid', '{}' FROM generate_series(1, 3)`)
	admin := h.loggedIn("admin", houseKey)
	page := admin.send(http.MethodPost, "/panel/replays/new", admin.form("/panel/", "act", "count", "endpoint", mine, "types", "order.*", "since", "24h"))
	require.Contains(t, page.body, "<strong>3 events are</strong> of this range and these types, and no more than that are sent.")
	counted := formOf(page.body)
	counted.Set("endpoint", mine) // a select
	counted.Set("act", "begin")
	for field, value := range map[string]string{
		"endpoint": other, "types": "", "since": "48h", "until": "1h", "counted": "", "act": "foo",
	} {
		form := maps.Clone(counted)
		form[field] = []string{value}
		got := admin.send(http.MethodPost, "/panel/replays/new", form)
		require.Equal(t, http.StatusUnprocessableEntity, got.status, field)
		if field != "act" {
			require.Contains(t, got.body, "The form is not the one that was counted.", field)
		}
	}
	stranger := h.loggedIn("other", houseKey)
	form := stranger.form("/panel/")
	for name, values := range counted {
		if name != "csrf" {
			form[name] = values
		}
	}
	require.Equal(t, http.StatusUnprocessableEntity, stranger.send(http.MethodPost, "/panel/replays/new", form).status, "another session counted it")
	require.Equal(t, "0", h.text("SELECT count(*)::text FROM tailpost.replay"))

	h.advance(2 * time.Minute)
	for range 2 {
		got := admin.send(http.MethodPost, "/panel/replays/new", counted)
		require.Equal(t, http.StatusSeeOther, got.status, got.body)
	}
	require.Equal(t, "1 true order.*", h.text(`
SELECT count(*) || ' ' || bool_and(until < now() + interval '1 minute' AND since = date_trunc('second', since)) || ' ' || min(types[1])
FROM tailpost.replay WHERE endpoint_id = $1`, mine), "one, until the count was made")
}

// TestAFormThatIsTooLargeIsToldSo, whichever form it is: it is not one of a session that is over.
func TestAFormThatIsTooLargeIsToldSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin, guest := h.loggedIn("admin", houseKey), h.visitor("acme", "view", "manage_endpoints")
	forms := 0
	for _, pattern := range h.panel.Routes() {
		path, isForm := strings.CutPrefix(pattern, "POST ")
		if !isForm {
			continue
		}
		forms++
		who, root := admin, "/panel/"
		if strings.HasPrefix(path, "/portal/") {
			who, root = guest, "/portal/"
		}
		path = strings.NewReplacer("{id}", "x", "{act}", "pause", "{name}", "x").Replace(path)
		got := who.send(http.MethodPost, path, who.form(root, "data", strings.Repeat("x", 600_000)))
		require.Equal(t, http.StatusRequestEntityTooLarge, got.status, path)
		require.Contains(t, got.body, "This form is larger than the 512\u00a0KiB that one may have. Nothing was changed", path)
		require.Contains(t, who.get(root+"help").body, "Without a mouse", path) // the session goes on
	}
	require.Greater(t, forms, 20)
}

// TestWhatIsCancelledIsShown: its own page, which says what became of it.
func TestWhatIsCancelledIsShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	id := h.endpoint("", "mine")
	h.queue(id, "dead", 1, 2)
	admin := h.loggedIn("admin", houseKey)
	for pages, begin := range map[string]string{"/panel/replays/": "/v1/replays", "/panel/resends/": "/v1/deliveries/resend"} {
		begun, _ := h.admin().made(http.MethodPost, begin, map[string]any{"endpoint_id": id})["id"].(string)
		says, at := admin.done(pages+begun+"/cancel", admin.form("/panel/"))
		require.Equal(t, "It is cancelled. What it queued already is still delivered.", says)
		require.Contains(t, at, pages+begun)
	}
}
