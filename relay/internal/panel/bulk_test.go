package panel_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// asked is the page that asks whether a person means what a form of the list says.
func (c *caller) asked(form url.Values) reply {
	c.h.t.Helper()
	got := c.send(http.MethodPost, "/panel/undelivered/confirm", form)
	if got.status != http.StatusSeeOther {
		return got
	}
	return c.get(got.header.Get("Location"))
}

// formOf is the form of a page, as a browser sends it.
func formOf(page string) url.Values {
	form := make(url.Values)
	main := page[strings.Index(page, "<main"):]
	for _, tag := range inputTag.FindAllString(main, -1) {
		of := make(map[string]string)
		for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
			of[a[1]] = html.UnescapeString(a[2])
		}
		form.Add(of["name"], of["value"])
	}
	return form
}

// done sends a form and returns what the page that follows says was done, and where that is.
func (c *caller) done(path string, form url.Values) (says, at string) {
	c.h.t.Helper()
	got := c.send(http.MethodPost, path, form)
	require.Equal(c.h.t, http.StatusSeeOther, got.status, got.body)
	at = got.header.Get("Location")
	found := regexp.MustCompile(`<div class="note good" role="status">([^<]*)</div>`).FindStringSubmatch(c.get(at).body)
	require.NotNil(c.h.t, found, at)
	return html.UnescapeString(found[1]), at
}

// queue parks deliveries of an endpoint, from one number to another.
func (h *house) queue(endpoint, state string, from, to int) {
	h.t.Helper()
	h.exec(`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
SELECT 'e-' || n, $1, $2, 'failed', 1, CASE WHEN $2 = 'pending' THEN now() + interval '1 hour' END, 'order.paid', '{}', now(), '0/10', n, t.at, t.at
FROM generate_series($3::integer, $4::integer) AS n, LATERAL (SELECT clock_timestamp() AS at WHERE n > 0) AS t`, endpoint, state, from, to)
}

// TestWhatComesAfterTheQuestionIsLeftAlone: a person who said yes to some deliveries said nothing
// of those that failed since; and hears how many they were.
func TestWhatComesAfterTheQuestionIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"pending", "dead"} {
		h := newHouse(t, nil)
		mine := h.endpoint("", "mine")
		h.queue(mine, state, 1, 4)
		admin := h.loggedIn("admin", houseKey)
		ask := admin.asked(admin.form("/panel/", "which", "all", "act", "discard", "state", state, "endpoint", mine))
		require.Contains(t, ask.body, "Discard 4</button>")
		h.queue(mine, state, 5, 6)
		h.exec("UPDATE tailpost.delivery SET attempts = 2, updated_at = clock_timestamp() WHERE event_id = 'e-1' AND state = 'pending'")
		says, _ := admin.done("/panel/undelivered/act", formOf(ask.body))
		require.Equal(t, "4 deliveries are discarded.", says)
		require.Equal(t, "e-5 e-6", h.text("SELECT string_agg(event_id, ' ' ORDER BY seq) FROM tailpost.delivery"))

		// A resend is bound in the same way.
		ask = admin.asked(admin.form("/panel/", "which", "all", "act", "resend", "state", state, "endpoint", mine))
		h.queue(mine, state, 7, 7)
		_, at := admin.done("/panel/undelivered/act", formOf(ask.body))
		require.Contains(t, at, "/panel/resends/rs_")
		require.Equal(t, "2", h.text("SELECT total::text FROM tailpost.resend"))
		require.Equal(t, h.text("SELECT to_char(max(updated_at) AT TIME ZONE 'UTC', 'HH24:MI:SS.US') FROM tailpost.delivery WHERE seq = 6"),
			h.text("SELECT to_char((selection->>'as_of')::timestamptz AT TIME ZONE 'UTC', 'HH24:MI:SS.US') FROM tailpost.resend"))

		form := formOf(ask.body)
		form.Del("as_of")
		form.Del("nonce")
		require.Equal(t, http.StatusUnprocessableEntity, admin.send(http.MethodPost, "/panel/undelivered/act", form).status, "nobody was asked")
	}
}

// TestAPersonHearsHowManyWereChanged, also where that is none.
func TestAPersonHearsHowManyWereChanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine, other := h.endpoint("acme", "mine"), h.endpoint("bravo", "other")
	h.queue(mine, "dead", 1, 3)
	h.queue(other, "dead", 4, 4)
	admin := h.loggedIn("admin", houseKey)
	some := func(c *caller, act string, deliveries ...string) url.Values {
		form := c.form("/panel/", "which", "some", "act", act, "state", "dead")
		for _, one := range deliveries {
			form.Add("delivery", one)
		}
		return form
	}
	says, _ := admin.done("/panel/undelivered/act", some(admin, "discard", "dead "+mine+" e-1"))
	require.Equal(t, "The delivery is discarded.", says)
	says, _ = admin.done("/panel/undelivered/act", some(admin, "discard", "dead "+mine+" e-1"))
	require.Equal(t, "0 were discarded: the delivery is not there any more, or it has changed.", says, "a stale tab")
	says, _ = admin.done("/panel/undelivered/act", some(admin, "discard", "dead "+mine+" e-1", "dead "+mine+" e-2", "dead "+mine+" e-3"))
	require.Equal(t, "2 deliveries are discarded. The other 1 of 3 are not there any more, or they have changed.", says)

	secret, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "acme", "tenant": "acme"})["secret"].(string)
	acme := h.loggedIn("acme", secret)
	says, _ = acme.done("/panel/undelivered/act", some(acme, "discard", "dead "+other+" e-4"))
	require.Regexp(t, "^0 were discarded", says)
	require.Equal(t, "1", h.text("SELECT count(*)::text FROM tailpost.delivery"))

	empty := admin.asked(admin.form("/panel/", "which", "all", "act", "discard", "state", "dead", "type", "nothing.is.so"))
	require.Contains(t, empty.body, "There is nothing to discard")
	require.NotContains(t, empty.body, "Discard 0")
	require.NotContains(t, empty.body, `action="/panel/undelivered/act"`)

	says, _ = admin.done("/panel/undelivered/act", some(admin, "resend", "dead "+other+" e-4"))
	require.Equal(t, "The delivery is queued. It goes out in a moment.", says)
}

// TestAFormThatSaysNothingChangesNothing: what a form does is what it says, never what is left
// over.
func TestAFormThatSaysNothingChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	h.queue(mine, "dead", 1, 3)
	admin := h.loggedIn("admin", houseKey)
	one := "dead " + mine + " e-1"
	for _, pairs := range [][]string{
		{"act", "foo", "which", "some", "delivery", one},
		{"which", "some", "delivery", one},
		{"which", "all", "state", "dead"},
		{"act", "discard", "which", "foo", "delivery", one},
		{"act", "discard", "which", "all", "state", "foo"},
		{"act", "resend", "which", "some", "delivery", "pending a b c d"},
		{"act", "discard", "which", "some", "delivery", "dead"},
		{"act", "discard", "which", "some", "delivery", "foo " + mine + " e-1"},
		{"act", "discard", "which", "some", "delivery", one, "delivery", "dead  x"},
	} {
		for _, path := range []string{"confirm", "act"} {
			form := admin.form("/panel/", pairs...)
			if path == "act" {
				form.Set("as_of", h.now().UTC().Format("2006-01-02T15:04:05Z"))
			}
			got := admin.send(http.MethodPost, "/panel/undelivered/"+path, form)
			if path == "confirm" && got.status == http.StatusSeeOther {
				got = admin.get(got.header.Get("Location"))
			}
			require.Equal(t, http.StatusUnprocessableEntity, got.status, "%s %v", path, pairs)
		}
	}
	require.Equal(t, "3", h.text("SELECT count(*)::text FROM tailpost.delivery WHERE state = 'dead'"))
}

// TestTheWayBackIsTheListAsItWasFiltered, and the page that asks can be opened again.
func TestTheWayBackIsTheListAsItWasFiltered(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	h.queue(mine, "pending", 1, 2)
	admin := h.loggedIn("admin", houseKey)
	for _, which := range [][]string{{"which", "all"}, {"which", "some", "delivery", "pending " + mine + " e-1"}} {
		form := admin.form("/panel/", append(which, "act", "discard", "state", "pending", "endpoint", mine, "reason", "failed", "since", "24h")...)
		got := admin.send(http.MethodPost, "/panel/undelivered/confirm", form)
		require.Equal(t, http.StatusSeeOther, got.status, "a browser can go back to an address")
		page := admin.get(got.header.Get("Location")).body
		require.Contains(t, page, `href="/panel/undelivered?endpoint=`+mine+`&amp;reason=failed&amp;since=24h&amp;state=pending">Keep them as they are</a>`)
	}
	secret, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "reader", "scopes": []string{"deliveries:read", "endpoints:read"}})["secret"].(string)
	require.Equal(t, http.StatusForbidden, h.loggedIn("reader", secret).get("/panel/undelivered/confirm?which=all&act=discard&state=pending").status)
}

// TestAFormThatIsSentThriceActsOnce, as two tabs and a double click do.
func TestAFormThatIsSentThriceActsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	h.queue(mine, "dead", 1, 3)
	admin := h.loggedIn("admin", houseKey)
	send := func(act string) []string {
		form := formOf(admin.asked(admin.form("/panel/", "which", "all", "act", act, "state", "dead")).body)
		at := make([]string, 3)
		var group sync.WaitGroup
		for i := range at {
			group.Go(func() { at[i] = admin.send(http.MethodPost, "/panel/undelivered/act", form).header.Get("Location") })
		}
		group.Wait()
		return at
	}
	at := send("resend")
	require.Equal(t, []string{at[0], at[0], at[0]}, at)
	require.Equal(t, "1", h.text("SELECT count(*)::text FROM tailpost.resend"))
	at = send("discard")
	require.Equal(t, []string{at[0], at[0], at[0]}, at)
	require.Contains(t, admin.get(at[0]).body, "3 deliveries are discarded.")
}

// TestOnePressSaysHowManyItDoes before it is pressed.
func TestOnePressSaysHowManyItDoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.queue(h.endpoint("", "mine"), "dead", 1, 10_003)
	admin := h.loggedIn("admin", houseKey)
	ask := admin.asked(admin.form("/panel/", "which", "all", "act", "discard", "state", "dead"))
	require.Contains(t, ask.body, "Discard the first 10,000 of 10,003 deliveries?")
	require.Contains(t, ask.body, "Discard 10,000</button>")
	says, _ := admin.done("/panel/undelivered/act", formOf(ask.body))
	require.Equal(t, "10,000 deliveries are discarded. That is as many as one press does. There are more: go on.", says)
}

// TestOnlyWhatWasDoneIsSaid: a link from elsewhere says nothing was done, and neither does one to
// another page.
func TestOnlyWhatWasDoneIsSaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	admin := h.loggedIn("admin", houseKey)
	says, at := admin.done("/panel/endpoints/"+mine+"/confirm/pause", admin.form("/panel/", "sure", "yes"))
	require.Equal(t, "The endpoint is paused. Its events are queued.", says)
	query := at[strings.Index(at, "?"):]
	other := h.loggedIn("other", houseKey)
	for name, got := range map[string]reply{
		"a word": admin.get("/panel/?done=deleted"), "another page": admin.get("/panel/endpoints" + query), "another session": other.get(at),
		"another word": admin.get(strings.Replace(at, "paused", "deleted", 1)),
	} {
		require.NotContains(t, got.body, `class="note good" role="status"`, name)
	}
}
