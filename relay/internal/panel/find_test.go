package panel_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheBoxLeadsToWhatAPersonLooksFor: the one thing that it can be, or the list of those that it
// can be.
func TestTheBoxLeadsToWhatAPersonLooksFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t, searches(t))
	mine, twin := h.endpoint("", "mine"), h.endpoint("", "twin")
	h.endpoint("", "twin")
	const event = "018f0000-0000-7000-8000-000000000001"
	h.exec(`INSERT INTO public.outbox (id, type, payload) VALUES ($1, 'order.paid', '{}')`, event)
	for i := range 5 {
		h.attempt(mine, fmt.Sprint("e-", i), "", "mine")
	}
	h.exec("UPDATE tailpost.attempt SET search = CASE event_id WHEN 'e-0' THEN '{word=one}' ELSE '{word=some}' END::text[]")
	secret, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "reader", "scopes": []string{"deliveries:read"}})["secret"].(string)
	admin, reader := h.loggedIn("admin", houseKey), h.loggedIn("reader", secret)
	for text, to := range map[string]string{
		"": "events", " " + mine + " ": "endpoints/" + mine, "name mine": "endpoints/" + mine, "name twin": "events?key=name+twin", event: "events/" + event,
		"one": "events/e-0", "word=one": "events/e-0", "some": "events?search=some", "word=some": "events?search=word%3Dsome", "word=none": "events?search=word%3Dnone",
		"order-42": "events?key=order-42", "a/b ?": "events?key=a%2Fb+%3F", twin + "x": "events?key=" + twin + "x",
	} {
		got := admin.get("/panel/find?" + url.Values{"q": {text}}.Encode())
		require.Equal(t, http.StatusSeeOther, got.status, "%q: %s", text, got.body)
		require.Equal(t, "/panel/"+to, got.header.Get("Location"), text)
	}
	for text, to := range map[string]string{"name mine": "events?key=name+mine", mine: "events?key=" + mine, "one": "events/e-0"} {
		require.Equal(t, "/panel/"+to, reader.get("/panel/find?"+url.Values{"q": {text}}.Encode()).header.Get("Location"), "it may not see endpoints")
	}
	h.exec("ALTER TABLE tailpost.attempt RENAME COLUMN search TO away")
	require.Equal(t, http.StatusInternalServerError, admin.get("/panel/find?q=one").status, "what cannot be looked for is not taken for another thing")
	h.exec("ALTER TABLE tailpost.attempt RENAME COLUMN away TO search")
}

// TestAFilterTakesTheNameThatOneHas: of an endpoint by its name, whatever its case; a name of
// several is refused with all of them, and one that is not among those that lists know is found.
func TestAFilterTakesTheNameThatOneHas(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	h.attempt(mine, "e-mine", "", "mine")
	twins := []string{h.endpoint("", "twin"), h.endpoint("acme", "twin"), h.endpoint("bravo", "twin")}
	pair := []string{h.endpoint("acme", "pair"), h.endpoint("acme", "pair")}
	h.attempt(twins[0], "e-twin", "", "twin")
	h.queue(mine, "dead", 1, 1)
	admin := h.loggedIn("admin", houseKey)
	for _, page := range []string{"log", "undelivered"} {
		for text, rows := range map[string]int{"name mine": 1, "NAME Mine": 1, mine: 1, "nobody": 0, "..": 0} {
			got := admin.get("/panel/" + page + "?" + url.Values{"endpoint": {text}}.Encode())
			require.Equal(t, http.StatusOK, got.status, "%s of %q: %s", page, text, got.body)
			require.Len(t, rowsOf(got.body), rows, "%s of %q", page, text)
		}
		got := admin.get("/panel/" + page + "?endpoint=name+twin")
		require.Equal(t, http.StatusUnprocessableEntity, got.status, page)
		for i, of := range []string{"of no tenant", "of tenant acme", "of tenant bravo"} {
			require.Contains(t, got.body, twins[i]+" "+of+", at 127.0.0.1:1", page)
		}
		require.NotContains(t, got.body, "and others", page)
		require.Contains(t, got.body, `href="/panel/`+page+`"`, "%s: the way to the list without it", page)
	}
	h.exec(`INSERT INTO tailpost.endpoint SELECT (jsonb_populate_record(e, jsonb_build_object('id', 'ep_' || n, 'name', 'name many', 'created_at', now() + interval '1 hour'))).* FROM tailpost.endpoint AS e, generate_series(1, 250) AS n WHERE e.id = $1`, mine)
	require.Len(t, rowsOf(admin.get("/panel/log?endpoint=name+mine").body), 1, "it is not among those that lists know")
	require.Contains(t, admin.get("/panel/undelivered?endpoint=name+many").body, "<br>and others")
	known := admin.get("/panel/log").body
	require.Contains(t, known, ">"+twins[0]+"</a>", "beyond the newest 250 lists show ids")
	h.exec("DELETE FROM tailpost.endpoint WHERE name = 'name many'")
	known = admin.get("/panel/log").body
	require.Contains(t, known, ">name twin ("+twins[0]+")</a>", "a name that several have, with what tells them apart")
	require.Contains(t, known, ">name twin (acme)</option>")
	for _, id := range pair {
		require.Contains(t, known, ">name pair ("+id+")</option>", "of the same tenant")
	}
	require.Contains(t, known, ">name mine</a>")
}
