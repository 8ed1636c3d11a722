package panel_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

const shown = 50 // rows of a page

// preOf is the text within the pre element with an id; empty: the page has none.
func preOf(page, id string) string {
	found := regexp.MustCompile(`(?s)<pre id="` + id + `"[^>]*>(.*?)</pre>`).FindStringSubmatch(page)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

// rowsOf are the rows of the lists of a page.
func rowsOf(page string) (rows []string) {
	for _, part := range strings.Split(page, "<tbody data-rows")[1:] {
		body, _, _ := strings.Cut(part, "</tbody>")
		rows = append(rows, strings.Split(body, "<tr")[1:]...)
	}
	return rows
}

// found are the values of a column that a statement finds, in order.
func found(h *house, sql, column string) (values []string) {
	h.t.Helper()
	rows, err := h.conn.Query(h.t.Context(), sql)
	require.NoError(h.t, err, sql)
	list, err := pgx.CollectRows(rows, pgx.RowToMap)
	require.NoError(h.t, err, sql)
	for _, row := range list {
		value, _ := row[column].(string)
		if id, ok := row[column].([16]byte); ok {
			value = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
		}
		require.NotEmpty(h.t, value, "%s has no %s", sql, column)
		values = append(values, value)
	}
	return values
}

// whole is what is at a path, once an answer is not cut because its time was over, as on a busy
// machine.
func whole(c *caller, path string, isCut func(body string) bool) (got reply) {
	c.h.t.Helper()
	require.Eventually(c.h.t, func() bool {
		got = c.get(path)
		return !isCut(got.body)
	}, time.Minute, time.Millisecond, path)
	return got
}

// listed is what a page lists, in order: the same rows by the statement and by the call that it
// offers, which a person with a key makes.
func listed(c *caller, path, key, column string) (page string, values []string) {
	t := c.h.t
	t.Helper()
	got := whole(c, path, func(body string) bool { return strings.Contains(body, ">Go on<") })
	require.Equal(t, http.StatusOK, got.status, "%s: %s", path, got.body)
	curl := preOf(got.body, "copy-curl")
	require.True(t, strings.HasPrefix(curl, "curl -sS '"+c.h.url+"/v1/"), "%s: %q", path, curl)
	require.True(t, strings.HasSuffix(curl, ` -H "Authorization: Bearer $TAILPOST_API_KEY"`), "%s: %q", path, curl)
	at, _, _ := strings.Cut(strings.TrimPrefix(curl, "curl -sS '"+c.h.url), "'")
	var answer struct {
		Data       []map[string]any `json:"data"`
		NextCursor string           `json:"next_cursor"`
	}
	whole(c.h.caller("key", key), at, func(body string) bool {
		answer.Data, answer.NextCursor = nil, ""
		require.NoError(t, json.Unmarshal([]byte(body), &answer), "%s: %s", curl, body)
		return answer.NextCursor != "" && len(answer.Data) < shown
	})
	require.NotEmpty(t, answer.Data, "%s: %s", path, curl)
	of := column
	if _, is := answer.Data[0][of]; !is {
		of = "id"
	}
	for _, row := range answer.Data {
		value, _ := row[of].(string)
		values = append(values, value)
	}
	sql := preOf(got.body, "copy-sql")
	require.NotContains(t, sql, "tailpost.delivery ", "the role for readers has no right to payloads")
	require.Equal(t, values, found(c.h, sql, column), "%s: the call and the statement\n%s\n%s", path, curl, sql)
	rows := rowsOf(got.body)
	require.Len(t, rows, len(values), "%s of %s", path, c.name)
	for i, value := range values {
		require.Contains(t, rows[i], html.EscapeString(value), "%s, row %d", path, i)
	}
	return got.body, values
}

// searches has events be found by the word of their payload.
func searches(t *testing.T) func(c *config.Config) {
	t.Helper()
	search, diags := config.CompileSearch(`{ word = event.data.word }`, "test.hcl", 1)
	require.False(t, diags.HasErrors(), "%v", diags)
	return func(c *config.Config) { c.Outbox.Search = search }
}

// TestAListIsWhatItsFilterChooses, for every list and each of its filters: on the page, by the
// statement and by the call of the API that it offers. A tenant's key is shown what is the
// tenant's.
func TestAListIsWhatItsFilterChooses(t *testing.T) {
	t.Parallel()
	h := newHouse(t, searches(t))
	h.exec("SELECT tailpost.ensure_attempt_partitions((now() - interval '1 day')::date, 3)")
	h.exec("CREATE INDEX ON public.outbox (created_at, id)")
	of := map[string]*belongings{"alpha": h.belongings("alpha", 1), "bravo": h.belongings("bravo", 2), "": h.belongings("", 3)}
	mine := of["alpha"]
	for tenant, is := range map[string][]any{ // how long ago, and what there is to tell apart
		"bravo": {"0", "delivered", 200, "failed", "paused", "config", "done"},
		"alpha": {"3 hours", "retry", 500, "exhausted", "active", "api", "running"},
		"":      {"6 hours", "dead", nil, "failed", "disabled", "config", "failed"},
	} {
		b := of[tenant]
		h.exec("UPDATE tailpost.attempt SET attempted_at = now() - $2::text::interval, outcome = $3, status_code = $4, search = ARRAY['word=' || $5::text] WHERE event_id = $1", b.event, is[0], is[1], is[2], b.word)
		h.exec("UPDATE tailpost.delivery SET event_created_at = now() - $2::text::interval, seq = 10 - extract(hour FROM $2::text::interval), reason = $3 WHERE event_id = $1", b.event, is[0], is[3])
		h.exec("UPDATE public.outbox SET created_at = now() - $2::text::interval WHERE id = $1", b.event, is[0])
		h.exec("UPDATE tailpost.endpoint SET created_at = now() - $2::text::interval, status = $3, source = $4 WHERE id = $1", b.endpoint, is[0], is[4], is[5])
		h.exec("UPDATE tailpost.replay SET created_at = now() - $2::text::interval, state = $3 WHERE id = $1", b.replay, is[0], is[6])
		h.exec("UPDATE tailpost.resend SET created_at = now() - $2::text::interval, state = $3, selection = selection || jsonb_build_object('endpoint_id', $4::text) WHERE id = $1", b.resend, is[0], is[6], b.endpoint)
	}
	h.queue(of["bravo"].endpoint, "pending", 1, 1)
	h.admin().made(http.MethodPut, "/v1/event-types/"+mine.typ, map[string]any{"description": "a"})
	own, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "key unmistakablealpha too", "tenant": "alpha"})["secret"].(string)
	event := func(b *belongings) string { return b.event }
	endpoint := func(b *belongings) string { return b.endpoint }
	admin, alpha := h.loggedIn("admin", houseKey), h.loggedIn("alpha", own)
	for page, list := range map[string]struct {
		column  string
		of      func(*belongings) string
		filters map[string]string // value by field; each chooses what is alpha's but for the times
	}{
		"log": {"event_id", event, map[string]string{
			"endpoint": mine.endpoint, "event": mine.event, "type": mine.typ, "tenant": "alpha", "outcome": "retry", "class": "5xx", "search": mine.word, "since": "4h", "until": "2h",
		}},
		"undelivered": {"event_id", event, map[string]string{
			"endpoint": mine.endpoint, "event": mine.event, "type": mine.typ, "tenant": "alpha", "reason": "exhausted", "since": "4h", "until": "2h",
		}},
		"events":       {"id", event, map[string]string{"id": mine.event, "key": "key " + mine.word, "type": "*." + mine.word, "tenant": "alpha", "since": "4h", "until": "2h"}},
		"endpoints":    {"id", endpoint, map[string]string{"status": "active", "source": "api", "tenant": "alpha"}},
		"replays":      {"id", func(b *belongings) string { return b.replay }, map[string]string{"endpoint": mine.endpoint, "state": "running"}},
		"resends":      {"id", func(b *belongings) string { return b.resend }, map[string]string{"endpoint": mine.endpoint, "state": "running"}},
		"audit":        {"object", nil, map[string]string{"object": mine.endpoint, "action": "event_type.put", "actor": "config:admin"}},
		"keys":         {"name", nil, nil},
		"portal-links": {"id", nil, nil},
		"catalogue":    {"name", nil, nil},
	} {
		_, all := listed(admin, "/panel/"+page, houseKey, list.column)
		_, theirs := listed(alpha, "/panel/"+page, own, list.column)
		if list.of == nil {
			require.Subset(t, all, theirs, page)
		} else {
			require.Equal(t, []string{list.of(of["bravo"]), list.of(mine), list.of(of[""])}, all, "%s, the newest first", page)
			require.Equal(t, []string{list.of(mine)}, theirs, page)
		}
		for field, value := range list.filters {
			text, values := listed(admin, "/panel/"+page+"?"+url.Values{field: {value}}.Encode(), houseKey, list.column)
			switch {
			case list.of == nil:
				require.Less(t, len(values), len(all)+map[bool]int{true: 1}[field == "actor"], "%s by %s", page, field)
			case field == "since":
				require.Equal(t, all[:2], values, page)
			case field == "until":
				require.Equal(t, all[1:], values, page)
			default:
				require.Equal(t, []string{list.of(mine)}, values, "%s by %s", page, field)
			}
			if page != "replays" && page != "resends" {
				require.Equal(t, html.EscapeString(value), html.EscapeString(inputs(text)[field]), "%s: the form still has it", page)
				require.Regexp(t, `>Clear</a>`, text, "%s by %s", page, field)
			}
		}
	}
	_, typed := listed(admin, "/panel/events?type="+mine.typ, houseKey, "id")
	require.Equal(t, []string{mine.event}, typed, "a whole type")
	text, searched := listed(admin, "/panel/events?search="+mine.word, houseKey, "event_id")
	require.Equal(t, []string{mine.event}, searched)
	require.Equal(t, mine.word, inputs(text)["search"])
	_, searched = listed(admin, "/panel/events?type=*."+mine.word+"&search="+mine.word, houseKey, "event_id")
	require.Equal(t, []string{mine.event}, searched, "by a pattern of types, too")
	_, waits := listed(admin, "/panel/undelivered?state=pending", houseKey, "event_id")
	require.Equal(t, []string{"e-1"}, waits)
}

// TestAListGoesOnWhereItsPageEnds, with the filter that it has, and leads back to the newest.
func TestAListGoesOnWhereItsPageEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine, other := h.endpoint("alpha", "mine"), h.endpoint("bravo", "other")
	const rows = 60
	h.exec(`INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT 'e-' || to_char(n, 'FM000'), 'order.paid', CASE WHEN n % 2 = 0 THEN $1 ELSE $2 END, 1, 'stream', 'http://127.0.0.1:1/', 'dead', 1, now() - make_interval(secs => n / 100), '0/10'
		FROM generate_series(1, 120) AS n`, mine, other)
	h.queue(mine, "dead", 1, rows)
	h.queue(other, "dead", 101, 110)
	h.exec("UPDATE tailpost.delivery SET event_created_at = now() + make_interval(secs => seq)")
	h.exec(`INSERT INTO public.outbox (id, type, tenant, payload, created_at)
		SELECT ('018f0000-0000-7000-8000-' || to_char(n, 'FM000000000000'))::uuid, 'order.paid', CASE WHEN n <= 60 THEN 'alpha' END, '{}', now() - make_interval(secs => n) FROM generate_series(1, 70) AS n`)
	h.exec(`INSERT INTO tailpost.endpoint SELECT (jsonb_populate_record(e, jsonb_build_object('id', 'ep_' || n, 'tenant', 'many'))).* FROM tailpost.endpoint AS e, generate_series(1, 60) AS n WHERE e.id = $1`, mine)
	h.exec(`INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at)
		SELECT 'rp_' || n, CASE WHEN n <= 60 THEN $1 ELSE $2 END, '{}', now(), 'done', now(), now() FROM generate_series(1, 70) AS n`, mine, other)
	h.exec(`INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at)
		SELECT 'rs_' || n, '{}', CASE WHEN n <= 60 THEN 'done' ELSE 'failed' END, now(), now() FROM generate_series(1, 70) AS n`)
	h.exec(`INSERT INTO tailpost.audit (at, actor, address, action, object) SELECT now(), 'config:admin', '127.0.0.1', 'endpoint.pause', 'ep_' || n FROM generate_series(1, 60) AS n`)
	h.exec(`INSERT INTO tailpost.event_type (name, created_at, updated_at) SELECT 'type.n' || to_char(n, 'FM000'), now(), now() FROM generate_series(1, 60) AS n`)
	h.exec(`INSERT INTO tailpost.api_key (id, name, source, hash, scopes, created_by, created_at) SELECT 'key_' || n, 'name ' || n, 'api', convert_to('h' || n, 'UTF8'), '{}', '', now() + interval '1 hour' FROM generate_series(1, 59) AS n`)
	h.exec(`INSERT INTO tailpost.portal_link (id, tenant, capabilities, created_by, fingerprint, created_at, expires_at)
		SELECT 'ptl_' || n, 'alpha', '{view}', '', '', now(), now() + interval '1 hour' FROM generate_series(1, 60) AS n`)
	admin := h.loggedIn("admin", houseKey)
	next, newest := regexp.MustCompile(`rel="next" href="([^"]+)">([\w ]+)<`), regexp.MustCompile(`rel="prev" href="([^"]+)">`)
	for page, column := range map[string]string{
		"log?endpoint=" + mine: "event_id", "undelivered?endpoint=" + mine + "&state=dead": "event_id", "events?tenant=alpha": "id", "endpoints?tenant=many": "id",
		"replays?endpoint=" + mine: "id", "resends?state=done": "id", "audit?action=endpoint.pause": "object", "catalogue": "name", "keys": "name", "portal-links": "id",
	} {
		first, values := listed(admin, "/panel/"+page, houseKey, column)
		require.Len(t, values, shown, page)
		require.NotRegexp(t, newest, first, page)
		on := next.FindStringSubmatch(first)
		require.NotNil(t, on, page)
		require.Equal(t, map[bool]string{true: "More", false: "Older"}[page == "catalogue"], on[2], page)
		second := admin.get(html.UnescapeString(on[1])).body
		rest, last := rowsOf(second), second
		for { // a page ends when its time is over, too
			on = next.FindStringSubmatch(last)
			if on == nil {
				break
			}
			last = admin.get(html.UnescapeString(on[1])).body
			rest = append(rest, rowsOf(last)...)
		}
		require.Len(t, rest, rows-shown, page)
		for _, row := range rest {
			for _, value := range values {
				require.NotRegexp(t, regexp.QuoteMeta(value)+`["<]`, row, "%s: a row of the first page", page)
			}
		}
		require.NotRegexp(t, next, last, page)
		require.NotRegexp(t, "There may be older ones|goes on with the next page", last, page+": this is the last page")
		back := newest.FindStringSubmatch(second)
		require.NotNil(t, back, page)
		require.Equal(t, "/panel/"+page, html.UnescapeString(back[1]))
	}
	require.Contains(t, admin.get("/panel/log?endpoint="+mine).body, " data-full>", "what comes does not push old rows out of sight: there is a page of them")
}

// TestTheViewThatIsChosenIsMarked, of the log of all and of an endpoint's own.
func TestTheViewThatIsChosenIsMarked(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	admin := h.loggedIn("admin", houseKey)
	current := regexp.MustCompile(` aria-current="page">([^<]+)</a>`)
	for page, views := range map[string]map[string]string{
		"log":                        {"": "All", "?outcome=retry": "Retry", "?outcome=dead": "Given up", "?class=5xx": "5xx", "?class=4xx": "4xx", "?since=1h": "Last hour", "?class=5xx&since=1h": ""},
		"endpoints/" + mine + "/log": {"": "All", "?outcome=retry": "Retry", "?class=5xx&since=1h": ""},
		"undelivered":                {"": "Given up", "?state=dead": "Given up", "?state=pending": "Waiting", "?state=dead&reason=failed": ""},
	} {
		for query, want := range views {
			_, part, _ := strings.Cut(admin.get("/panel/"+page+query).body, " data-views>")
			part, _, _ = strings.Cut(part, "</nav>")
			require.NotEmpty(t, part, page)
			got := ""
			if found := current.FindStringSubmatch(part); found != nil {
				got = found[1]
			}
			require.Equal(t, want, got, page+query)
		}
	}
}
