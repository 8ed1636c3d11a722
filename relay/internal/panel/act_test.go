package panel_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestABulkActionIsAboutWhatTheListShows: each field that a list is narrowed by narrows what is
// counted, and what is acted on.
func TestABulkActionIsAboutWhatTheListShows(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine, other := h.endpoint("acme", "mine"), h.endpoint("bravo", "other")
	queue := func() {
		h.exec("DELETE FROM tailpost.delivery")
		h.exec(`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, tenant, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
VALUES ('e-mine', $1, 'dead', 'exhausted', 1, 'order.paid', 'acme', '{}', now() - interval '2 hours', '0/10', 1, now(), now()),
       ('e-other', $2, 'dead', 'failed', 1, 'user.gone', 'bravo', '{}', now(), '0/20', 1, now(), now())`, mine, other)
	}
	admin := h.loggedIn("admin", houseKey)
	hourAgo := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for field, value := range map[string]string{
		"reason": "exhausted", "endpoint": mine, "event": "e-mine", "type": "order.paid", "tenant": "acme", "until": hourAgo,
	} {
		queue()
		form := admin.form("/panel/", "which", "all", "act", "discard", "state", "dead", field, value)
		ask := admin.asked(form)
		require.Regexp(t, "Discard 1 delivery[?]", ask.body, field)
		require.Equal(t, "2", h.text("SELECT count(*)::text FROM tailpost.delivery"), "it was only counted")
		require.Equal(t, http.StatusSeeOther, admin.send(http.MethodPost, "/panel/undelivered/act", formOf(ask.body)).status, field)
		require.Equal(t, "e-other", h.text("SELECT string_agg(event_id, ' ') FROM tailpost.delivery"), field)
	}
	queue()
	form := admin.form("/panel/", "which", "all", "act", "discard", "state", "dead", "since", hourAgo)
	require.Equal(t, http.StatusSeeOther, admin.send(http.MethodPost, "/panel/undelivered/act", formOf(admin.asked(form).body)).status)
	require.Equal(t, "e-mine", h.text("SELECT string_agg(event_id, ' ') FROM tailpost.delivery"), "since")
	queue()
	h.exec("UPDATE tailpost.delivery SET state = 'pending', next_attempt_at = now() WHERE event_id = 'e-mine'")
	form = admin.form("/panel/", "which", "all", "act", "discard", "state", "pending")
	require.Equal(t, http.StatusSeeOther, admin.send(http.MethodPost, "/panel/undelivered/act", formOf(admin.asked(form).body)).status)
	require.Equal(t, "e-other", h.text("SELECT string_agg(event_id, ' ') FROM tailpost.delivery"), "state")
}

// TestSeveralSubscriptionsStay: the form does not show them, so what it saves leaves them alone.
func TestSeveralSubscriptionsStay(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	id, _ := h.admin().made(http.MethodPost, "/v1/endpoints", map[string]any{
		"url": "http://127.0.0.1:1/in", "name": "before", "subscriptions": []any{
			map[string]any{"events": []string{"order.*"}, "where": "event.data.total > 10"}, map[string]any{"events": []string{"user.*"}},
		},
	})["id"].(string)
	const stored = "SELECT subscriptions::text FROM tailpost.endpoint WHERE id = $1"
	before := h.text(stored, id)
	admin := h.loggedIn("admin", houseKey)
	page := admin.get("/panel/endpoints/" + id + "/edit")
	require.Contains(t, page.body, `name="several"`)
	form := admin.form("/panel/", "several", "1", "name", "after", "url", "http://127.0.0.1:1/in")
	saved := admin.send(http.MethodPost, "/panel/endpoints/"+id+"/edit", form)
	require.Equal(t, http.StatusSeeOther, saved.status, saved.body)
	require.Equal(t, "after", h.text("SELECT name FROM tailpost.endpoint WHERE id = $1", id))
	require.Equal(t, before, h.text(stored, id))
}

// TestNobodyElseLogsAPersonIn: a form of another site has no token of this visitor, or that of
// somebody else, and begins no session, wherever it wants to lead.
func TestNobodyElseLogsAPersonIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	other := formToken.FindStringSubmatch(h.caller("other", "").get("/panel/login").body)[1]
	for name, token := range map[string][]string{"without a token": nil, "with an empty one": {""}, "with that of another": {other}} {
		for _, next := range []string{"", "endpoints"} {
			c := h.caller("visitor", "")
			c.get("/panel/login")
			form := url.Values{"key": {houseKey}, "next": {next}}
			if token != nil {
				form["csrf"] = token
			}
			got := c.send(http.MethodPost, "/panel/login", form)
			require.Equal(t, http.StatusForbidden, got.status, "%s: %s", name, got.body)
			require.NotEqual(t, http.StatusOK, c.get("/panel/").status, name)
		}
	}
	require.Equal(t, "0", h.text("SELECT count(*)::text FROM tailpost.session"))
}
