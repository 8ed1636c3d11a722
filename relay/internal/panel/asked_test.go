package panel_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNothingIsDeletedUnasked: a key, a type, an endpoint. What a form does not name is left alone,
// and so is what is declared in files.
func TestNothingIsDeletedUnasked(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin := h.loggedIn("admin", houseKey)
	id := h.endpoint("", "mine")
	h.queue(id, "dead", 1, 2)
	h.queue(id, "pending", 3, 5)
	key, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "k"})["id"].(string)
	h.admin().made(http.MethodPut, "/v1/event-types/order.paid", map[string]any{"description": "paid"})
	endpoint := "/panel/endpoints/" + id + "/confirm/"
	refused := func(status int, path string, pairs ...string) string {
		t.Helper()
		got := admin.send(http.MethodPost, path, admin.form("/panel/", pairs...))
		require.Equal(t, status, got.status, "%s %v", path, pairs)
		return got.body
	}
	for _, path := range []string{"/panel/keys/" + key + "/delete", "/panel/catalogue/types/order.paid/delete", endpoint + "delete", endpoint + "rotate-secret", endpoint + "pause"} {
		for _, sure := range []string{"", "no"} {
			refused(http.StatusUnprocessableEntity, path, "sure", sure, "name", "name mine")
		}
	}
	require.Contains(t, refused(http.StatusUnprocessableEntity, endpoint+"delete", "sure", "yes", "name", "name min"), "That is not the endpoint&#39;s name: nothing was changed.")
	refused(http.StatusNotFound, endpoint+"destroy", "sure", "yes", "name", "name mine")
	require.Equal(t, http.StatusNotFound, admin.get(endpoint+"destroy").status)
	require.Contains(t, refused(http.StatusUnprocessableEntity, "/panel/keys", "name", "new"), "Choose at least one thing that the key may do.")
	require.Equal(t, "1 active 1 1 5", h.text(`SELECT version || ' ' || status || ' ' || (SELECT count(*) FROM tailpost.api_key WHERE source = 'api') || ' ' ||
		(SELECT count(*) FROM tailpost.event_type) || ' ' || (SELECT count(*) FROM tailpost.delivery) FROM tailpost.endpoint`), "nothing was changed")

	h.exec("UPDATE tailpost.endpoint SET source = 'config', origin = 'etc/tailpost.hcl:7'")
	edit := admin.get("/panel/endpoints/" + id + "/edit")
	require.Equal(t, http.StatusConflict, edit.status)
	require.Contains(t, edit.body, "is declared at etc/tailpost.hcl:7: change it there")
	refused(http.StatusConflict, endpoint+"delete", "sure", "yes", "name", "name mine")
	h.exec("UPDATE tailpost.endpoint SET source = 'api', origin = NULL")

	ask := admin.get(endpoint + "delete").body
	require.Contains(t, ask, "<dt>Undelivered</dt><dd>5 will be discarded</dd>", "of each state")
	require.Contains(t, ask, "This cannot be undone.")
	require.Contains(t, admin.get("/panel/keys/"+key+"/delete").body, `action="/panel/keys/`+key+`/delete"`)
	says, _ := admin.done("/panel/keys/"+key+"/delete", admin.form("/panel/", "sure", "yes"))
	require.Equal(t, "The key is deleted. Its sessions are over.", says)
	says, _ = admin.done("/panel/catalogue/types/order.paid/delete", admin.form("/panel/", "sure", "yes"))
	require.Equal(t, "The type is deleted from the catalogue.", says)
	says, at := admin.done(endpoint+"delete", admin.form("/panel/", "sure", "yes", "name", "name mine"))
	require.Equal(t, "The endpoint is deleted.", says)
	require.Regexp(t, `^/panel/endpoints\?`, at)
}

// TestATypeIsChangedByOneAtATime: what a person writes is what the catalogue has, the form shows it
// again, keeps it where it is refused, and never overwrites what somebody else wrote meanwhile.
func TestATypeIsChangedByOneAtATime(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin := h.loggedIn("admin", houseKey)
	const path = "/panel/catalogue/edit"
	written := map[string]string{"name": "order.paid", "description": "It was paid.", "schema": `{"type":"object"}`, "example": `{"total":9.50}`, "deprecated": "1"}
	form := admin.form("/panel/")
	for name, text := range written {
		form.Set(name, text)
	}
	form.Set("schema", "{")
	refused := admin.send(http.MethodPost, path, form)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.body, "What is in the field schema is not valid JSON.")
	require.Equal(t, "It was paid.", inputs(refused.body)["description"])
	require.Equal(t, "0", h.text("SELECT count(*)::text FROM tailpost.event_type"))

	form.Set("schema", written["schema"])
	says, at := admin.done(path, form)
	require.Equal(t, "The type is saved.", says)
	require.Regexp(t, `^/panel/catalogue/types/order\.paid\?`, at)
	got := h.admin().made(http.MethodGet, "/v1/event-types/order.paid", nil)
	require.Equal(t, []any{"It was paid.", true, map[string]any{"type": "object"}}, []any{got["description"], got["deprecated"], got["schema"]})
	edit := admin.get(path + "?name=order.paid").body
	shown := inputs(edit)
	require.Contains(t, edit, `name="deprecated" value="1" checked`)
	require.Contains(t, edit, " readonly>", "its name stays")
	require.Contains(t, shown["example"], "9.50", "with its digits")
	for _, name := range []string{"name", "description"} {
		require.Equal(t, written[name], shown[name])
	}

	form.Set("version", shown["version"])
	form.Set("description", "Somebody else's.")
	form.Del("deprecated")
	require.Equal(t, http.StatusSeeOther, admin.send(http.MethodPost, path, form).status)
	form.Set("description", "Mine.")
	late := admin.send(http.MethodPost, path, form)
	require.Equal(t, http.StatusPreconditionFailed, late.status, "it was changed since the form was opened")
	require.Equal(t, "Mine.", inputs(late.body)["description"], "what was written is still there")
	got = h.admin().made(http.MethodGet, "/v1/event-types/order.paid", nil)
	require.Equal(t, []any{"Somebody else's.", false}, []any{got["description"], got["deprecated"]})
	require.Equal(t, "order.new", inputs(admin.get(path + "?name=order.new").body)["name"], "a type that has no entry yet")
}

// TestATestEventIsWhatThePersonWrote: its type and its payload, or the example of the type; what is
// no JSON is not sent.
func TestATestEventIsWhatThePersonWrote(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	came := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came <- string(body)
		_, _ = w.Write([]byte("thank you"))
	}))
	t.Cleanup(receiver.Close)
	admin := h.loggedIn("admin", houseKey)
	id, _ := h.admin().made(http.MethodPost, "/v1/endpoints", map[string]any{"url": receiver.URL, "verify": "echo"})["id"].(string)
	h.admin().made(http.MethodPut, "/v1/event-types/order.paid", map[string]any{"example": map[string]any{"total": 42}})
	path := "/panel/endpoints/" + id + "/test"
	require.JSONEq(t, `{"total": 42}`, inputs(admin.get(path + "?type=order.paid").body)["data"])
	require.Equal(t, http.StatusOK, admin.get(path+"?type=of.nobody").status)

	refused := admin.send(http.MethodPost, path, admin.form("/panel/", "type", "order.sent", "data", `{"a":`))
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.body, "The payload is not valid JSON. Nothing was sent.")
	require.Equal(t, `{"a":`, inputs(refused.body)["data"])
	require.Empty(t, came)
	for data, want := range map[string]string{`{"mine": 1.50}`: `"data":{"mine":1.50}`, "": `"data":{"total":42}`} {
		sent := admin.send(http.MethodPost, path, admin.form("/panel/", "type", "order.paid", "data", data))
		require.Equal(t, http.StatusOK, sent.status, sent.body)
		body := strings.ReplaceAll(<-came, " ", "")
		require.Contains(t, body, want)
		require.Contains(t, body, `"type":"order.paid"`)
		require.Contains(t, sent.body, "thank you", "the answer is shown")
		require.Equal(t, data, inputs(sent.body)["data"])
	}

	// This receiver answers with something else than the challenge.
	says, _ := admin.done("/panel/endpoints/"+id+"/verify", admin.form("/panel/"))
	require.Equal(t, "The endpoint was asked, and did not pass.", says)
}

// TestAReplayThatCannotBeIsToldSo in the form, which keeps what was written.
func TestAReplayThatCannotBeIsToldSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	admin := h.loggedIn("admin", houseKey)
	const path = "/panel/replays/new"
	count := func(pairs ...string) reply {
		return admin.send(http.MethodPost, path, admin.form("/panel/", append(pairs, "act", "count")...))
	}
	for _, test := range []struct{ since, until, says string }{
		{"yesterday", "", "Write a time such as"}, {"", "soon", "Write a time such as"}, {"24h", "soon", "Write a time such as"}, {"1h", "24h", "until"},
	} {
		got := count("endpoint", mine, "types", "order.*,user.gone", "since", test.since, "until", test.until)
		require.Equal(t, http.StatusUnprocessableEntity, got.status, test)
		require.Contains(t, got.body, test.says)
		require.Equal(t, []string{"order.*,user.gone", test.since, test.until, mine},
			[]string{inputs(got.body)["types"], inputs(got.body)["since"], inputs(got.body)["until"], inputs(got.body)["endpoint"]})
		require.NotContains(t, got.body, `name="counted"`, "there is nothing to begin")
	}
	require.Equal(t, http.StatusNotFound, count("endpoint", "ep_of_nobody").status)

	h.exec(`INSERT INTO public.outbox (type, payload) VALUES ('order.paid', '{}'), ('user.gone', '{}'), ('user.came', '{}')`)
	counted := count("endpoint", mine, "types", "order.*,user.gone\tuser.left", "since", "24h", "until", "")
	require.Contains(t, counted.body, "2 events are</strong> of this range")
	form := formOf(counted.body)
	form["endpoint"], form["act"] = []string{mine}, []string{"begin"}
	h.admin().made(http.MethodDelete, "/v1/endpoints/"+mine, nil)
	gone := admin.send(http.MethodPost, path, form)
	require.Equal(t, http.StatusNotFound, gone.status, "it was deleted meanwhile")
	require.Contains(t, gone.body, "Count first", "the form is still there")
	require.Equal(t, "0", h.text("SELECT count(*)::text FROM tailpost.replay"))
}

// TestWhatIsSelectedIsWhatIsDone: those deliveries of that state, once however often it is pressed;
// also where they are many, and where none is.
func TestWhatIsSelectedIsWhatIsDone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	h.queue(mine, "pending", 1, 100)
	h.exec("UPDATE tailpost.delivery SET event_id = 'a b%/&é' WHERE event_id = 'e-1'")
	admin := h.loggedIn("admin", houseKey)
	selects := func(events ...string) url.Values {
		form := admin.form("/panel/", "which", "some", "state", "pending", "act", "discard")
		for _, event := range events {
			form.Add("delivery", "pending "+mine+" "+url.PathEscape(event))
		}
		return form
	}
	none := admin.send(http.MethodPost, "/panel/undelivered/confirm", selects())
	for none.status == http.StatusSeeOther && !strings.Contains(none.header.Get("Location"), "done=") {
		none = admin.get(none.header.Get("Location"))
	}
	require.Contains(t, admin.get(none.header.Get("Location")).body, "Nothing was chosen. Select deliveries first.")
	refused := admin.send(http.MethodPost, "/panel/undelivered/act", selects())
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.body, "No delivery was chosen: nothing was changed.")

	ask := admin.asked(selects("a b%/&é", "e-2"))
	require.Contains(t, ask.body, "Discard 2 deliveries?")
	require.Contains(t, ask.body, "The ones that you selected.")
	require.NotContains(t, ask.body, "The same with")
	form := formOf(ask.body)
	for range 2 {
		says, at := admin.done("/panel/undelivered/act", form)
		require.Equal(t, "2 deliveries are discarded.", says, "a double click hears the same")
		require.Contains(t, at, "/panel/undelivered?state=pending")
	}
	require.Equal(t, "98", h.text("SELECT count(*)::text FROM tailpost.delivery"))

	many := make([]string, 0, 98)
	for rows, _ := h.conn.Query(t.Context(), "SELECT event_id FROM tailpost.delivery"); rows.Next(); {
		var id string
		require.NoError(t, rows.Scan(&id))
		many = append(many, id)
	}
	resend := selects(many...)
	resend.Set("act", "resend")
	ask = admin.send(http.MethodPost, "/panel/undelivered/confirm", resend)
	require.Equal(t, http.StatusOK, ask.status, "too many for an address")
	require.Contains(t, ask.body, "Resend 98 deliveries?")
	form = formOf(ask.body)
	form.Set("back", "endpoints/"+mine)
	h.advance(time.Second)
	says, at := admin.done("/panel/undelivered/act", form)
	require.Equal(t, "98 deliveries are queued. They go out in a moment.", says)
	require.Contains(t, at, "/panel/endpoints/"+mine+"?")

	h.exec("UPDATE tailpost.delivery SET state = 'dead', next_attempt_at = NULL WHERE event_id <> 'e-3'")
	stateless := admin.asked(admin.form("/panel/", "which", "all", "act", "discard"))
	require.Contains(t, stateless.body, "Discard 97 deliveries?", "of no state it is about the dead")
}

// TestAnEndpointIsOfferedWhatFitsItsState, and what was done is said; whoever may not rotate
// its secret may pause it all the same.
func TestAnEndpointIsOfferedWhatFitsItsState(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	id := h.endpoint("acme", "mine")
	secret, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{
		"name": "k", "scopes": []string{"endpoints:read", "endpoints:write", "keys:write"},
	})["secret"].(string)
	c := h.loggedIn("writer", secret)
	page := "/panel/endpoints/" + id
	for _, step := range []struct{ status, act, button, asks, happens, says, then string }{
		{"active", "pause", "Pause", "Pause this endpoint?", "Nothing is sent to it until it is resumed.", "The endpoint is paused. Its events are queued.", "paused"},
		{"paused", "resume", "Resume", "Resume this endpoint?", "What is queued goes out first,", "The endpoint is resumed. What was queued goes out first.", "active"},
		{"disabled", "enable", "Enable", "Enable this endpoint?", "Deliveries start again,", "The endpoint is enabled again.", "active"},
	} {
		h.exec("UPDATE tailpost.endpoint SET status = $1", step.status)
		offers := c.get(page).body
		for _, act := range []string{"pause", "resume", "enable"} {
			require.Equal(t, act == step.act, strings.Contains(offers, "/confirm/"+act+`"`), "%s: %s", step.status, act)
		}
		ask := c.get(page + "/confirm/" + step.act).body
		require.Contains(t, ask, "<h1>"+step.asks+"</h1>")
		require.Contains(t, ask, "<p>"+step.happens)
		require.Contains(t, ask, step.button+"</button>")
		form := formOf(ask)
		form.Set("csrf", c.form("/panel/").Get("csrf"))
		says, at := c.done(page+"/confirm/"+step.act, form)
		require.Equal(t, step.says, says)
		require.True(t, strings.HasPrefix(at, page+"?"), at)
		require.Equal(t, step.then, h.text("SELECT status FROM tailpost.endpoint"))
	}
	guest := h.visitor("acme", "view", "manage_endpoints")
	require.Equal(t, http.StatusOK, guest.get("/portal/endpoints/"+id+"/confirm/pause").status)
	require.Equal(t, http.StatusForbidden, guest.get("/portal/endpoints/"+id+"/confirm/rotate-secret").status)
	keys := c.get("/panel/keys").body
	require.Contains(t, keys, `value="endpoints:write"`)
	require.NotContains(t, keys, `value="payloads:read"`, "nobody passes on what they may not do")
	refused := c.send(http.MethodPost, "/panel/keys", c.form("/panel/", "name", "mine", "tenant", "acme", "scope", "payloads:read"))
	require.Equal(t, http.StatusForbidden, refused.status)
	require.Equal(t, []string{"mine", "acme"}, []string{inputs(refused.body)["name"], inputs(refused.body)["tenant"]}, "what was written is still there")
}

// TestAnEndpointIsChangedByOneAtATime: a form that was opened before somebody else's change saves
// nothing, and keeps what was written.
func TestAnEndpointIsChangedByOneAtATime(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin := h.loggedIn("admin", houseKey)
	require.Equal(t, "order.* user.gone", strings.Join(strings.Fields(inputs(admin.get("/panel/endpoints/new?type=order.*&type=user.gone").body)["events"]), " "))
	made := admin.send(http.MethodPost, "/panel/endpoints/new", admin.form("/panel/", "name", "Shop", "url", "https://shop.example/in", "tenant", "acme", "secret_type", "whsk"))
	require.Contains(t, made.body, "Shop is made")
	require.Contains(t, made.body, "whpk_", "of a key pair the receiver gets the public one")
	require.Equal(t, "acme", h.text("SELECT tenant FROM tailpost.endpoint"))
	edit := "/panel/endpoints/" + h.text("SELECT id FROM tailpost.endpoint") + "/edit"
	version := inputs(admin.get(edit).body)["version"]
	save := func(name string) reply {
		return admin.send(http.MethodPost, edit, admin.form("/panel/", "url", "https://shop.example/in", "name", name, "version", version))
	}
	require.Equal(t, http.StatusSeeOther, save("of somebody else").status)
	late := save("mine")
	require.Equal(t, http.StatusPreconditionFailed, late.status)
	require.Contains(t, late.body, "Somebody changed the endpoint since this form was opened.")
	require.Equal(t, "mine", inputs(late.body)["name"])
	require.Equal(t, "of somebody else", h.text("SELECT name FROM tailpost.endpoint"))
	for field, written := range map[string][2]string{"query": {"a=1\n \na=2", "a is there twice"}, "headers": {"X-A: 1\nX-A", "Line 2 has no colon"}} {
		refused := admin.send(http.MethodPost, "/panel/endpoints/new", admin.form("/panel/", "url", "https://new.example", field, written[0]))
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, field)
		require.Contains(t, refused.body, written[1])
	}
	require.Equal(t, "1", h.text("SELECT count(*)::text FROM tailpost.endpoint"))
}
