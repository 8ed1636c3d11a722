package panel_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var wouldMatch = regexp.MustCompile(`<strong>(\d+) would match</strong>(?:; (\d+) match now)?`)

// TestASubscriptionIsTriedAsTheFormHasIt, on recent events, and nothing is stored: what is emptied
// takes everything, and what the form does not show stays.
func TestASubscriptionIsTriedAsTheFormHasIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.exec(`INSERT INTO public.outbox (type, tenant, payload) VALUES ('order.paid', NULL, '{"total": 5.10}'), ('order.paid', NULL, '{"total": 50.10}'), ('user.gone', NULL, '{}'), ('order.paid', 'acme', '{"total": 70}')`)
	id, _ := h.admin().made(http.MethodPost, "/v1/endpoints", map[string]any{
		"url": "http://127.0.0.1:1/in", "name": "mine", "events": []string{"order.*"}, "where": "event.data.total > 10", "body": "{ before = event.data.total }",
	})["id"].(string)
	admin := h.loggedIn("admin", houseKey)
	before := h.text("SELECT e::text FROM tailpost.endpoint AS e")
	const made, edit = "/panel/endpoints/new", "/panel/endpoints/%/edit"
	for name, test := range map[string]struct {
		path       string
		form       []string
		would, now string
		shows      string
	}{
		"a new one":             {made, []string{"events", "order.*", "where", "event.data.total > 10"}, "2", "", "50.10"},
		"a new one of a tenant": {made, []string{"events", "order.*", "where", "event.data.total > 10", "tenant", "acme"}, "1", "", "70"},
		"all of it":             {made, nil, "4", "", ""},
		"with a body":           {made, []string{"events", "user.*", "body", "{ tried = event.type }"}, "1", "", "user.gone"},
		"another filter":        {edit, []string{"events", "order.*", "where", "event.data.total > 60"}, "1", "2", ""},
		"emptied":               {edit, nil, "4", "2", ""},
		"without its filter":    {edit, []string{"events", "order.*"}, "3", "2", ""},
		"of several":            {edit, []string{"several", "1"}, "2", "2", ""},
	} {
		path := regexp.MustCompile(`%`).ReplaceAllString(test.path, id)
		got := admin.send(http.MethodPost, path, admin.form("/panel/", append(test.form, "act", "try", "url", "http://127.0.0.1:1/in", "name", "written")...))
		require.Equal(t, http.StatusOK, got.status, "%s: %s", name, got.body)
		found := wouldMatch.FindStringSubmatch(got.body)
		require.NotNil(t, found, "%s: %s", name, got.body)
		require.Equal(t, []string{test.would, test.now}, found[1:], name)
		require.Contains(t, got.body, test.shows, name)
		require.Equal(t, "written", inputs(got.body)["name"], "%s: the form is still there", name)
		for i := 0; i+1 < len(test.form); i += 2 {
			require.Equal(t, test.form[i+1], inputs(got.body)[test.form[i]], "%s: the form is still there", name)
		}
		if test.path == edit && name != "of several" {
			require.Contains(t, got.body, "before", "%s: what it gets now", name)
		}
	}
	refused := admin.send(http.MethodPost, made, admin.form("/panel/", "act", "try", "url", "http://127.0.0.1:1/in", "where", "event.data.total >"))
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Regexp(t, `At line 1, character \d+: `, refused.body)
	require.Equal(t, http.StatusNotFound, admin.send(http.MethodPost, "/panel/endpoints/ep_none/edit", admin.form("/panel/", "act", "try", "url", "http://127.0.0.1:1/in")).status)
	require.Equal(t, before, h.text("SELECT e::text FROM tailpost.endpoint AS e"), "nothing is stored")

	typed := admin.send(http.MethodPost, "/panel/endpoints/check", admin.form("/panel/", "where", "event.type ==", "body", "{ a = 1 }"))
	require.Equal(t, "application/json", typed.header.Get("Content-Type"))
	require.Regexp(t, `^\{"body":\{"text":"It compiles\.","wrong":false\},"where":\{"text":"At line 1, character \d+: .+","wrong":true\}\}$`, typed.body)
	require.JSONEq(t, `{"where": {"text": "", "wrong": false}, "body": {"text": "", "wrong": false}}`, admin.send(http.MethodPost, "/panel/endpoints/check", admin.form("/panel/", "where", " ")).body)
}
