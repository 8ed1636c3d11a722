package panel_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var tile = regexp.MustCompile(`(?s)<span class="k">([^<]*)</span><span class="v">(.*?)</span><span class="s">(.*?)</span>`)

// tilesOf are what the tiles of a page say, by their names.
func tilesOf(page string) map[string]string {
	tiles := make(map[string]string)
	for _, found := range tile.FindAllStringSubmatch(page, -1) {
		tiles[found[1]] = blank.ReplaceAllString(tag.ReplaceAllString(found[2]+": "+found[3], " "), " ")
	}
	return tiles
}

// sums are the rows of a statement that a part of a page offers, as words.
func sums(h *house, page, part, columns string) []string {
	h.t.Helper()
	sql := preOf(page, part+"-sql")
	require.NotEmpty(h.t, sql, part)
	return strings.Split(h.text("SELECT string_agg(concat_ws(' ', "+columns+"), E'\n' ORDER BY n) FROM (SELECT *, row_number() OVER () AS n FROM ("+strings.TrimSuffix(sql, ";")+") AS q) AS q"), "\n")
}

// TestTheOverviewSaysHowAllIs: what is counted, of which time, and what is worst first; each list
// is the rows of the statement that it offers. A tenant's key is told of the tenant's.
func TestTheOverviewSaysHowAllIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin := h.loggedIn("admin", houseKey)
	require.Contains(t, admin.get("/panel/").body, "Nothing is sent yet: there is no endpoint")
	mine := h.endpoint("acme", "mine")
	require.Contains(t, admin.get("/panel/").body, "Nothing is sent yet: there is no event")
	h.queue(mine, "dead", 1, 2)
	h.queue(mine, "pending", 3, 5)
	require.NotContains(t, admin.get("/panel/").body, "Nothing is sent yet", "something waits")
	h.exec(`INSERT INTO public.outbox (type, payload) VALUES ('order.paid', '{}')`)
	page := admin.get("/panel/").body
	require.NotContains(t, page, "Nothing is sent yet")
	require.Equal(t, "1: 1 active", tilesOf(page)["Endpoints"])
	require.Equal(t, "–: no attempt was made", tilesOf(page)["Attempts that delivered, 48 h"])
	require.Contains(t, page, "Every endpoint is active and answered its last delivery.")

	other := h.endpoint("", "other")
	for i := range 10 { // the one that is disabled is the oldest, those that are paused the newest
		h.exec(`INSERT INTO tailpost.endpoint SELECT (jsonb_populate_record(e, jsonb_build_object('id', 'ep_' || $2::text, 'name', 'name ' || $2::text, 'created_at', now() - make_interval(days => 10 - $2::text::int),
			'status', CASE WHEN $2 = '0' THEN 'disabled' WHEN $2 = '1' THEN 'active' ELSE 'paused' END, 'failing_since', CASE WHEN $2 = '1' THEN now() END))).* FROM tailpost.endpoint AS e WHERE e.id = $1`, other, fmt.Sprint(i))
	}
	for endpoint, classes := range map[string]string{mine: "{1,0,5,0,3,0}", other: "{0,0,2,0,0,2}"} {
		h.exec(`INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets, classes)
			SELECT $1, date_trunc('hour', now()) - hours, 132, 104, 28, 0, 0, array_fill(0::bigint, ARRAY[15]), $2::text::bigint[]
			FROM unnest('{2 hours,60 hours}'::interval[]) AS hours`, endpoint, classes)
	}
	for i, of := range []string{"order.paid", "order.sent", "a", "b", "c", "d", "e", "f"} { // of all, and of each
		h.exec(`INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes)
			SELECT id, date_trunc('hour', now()) - hours, $2, n - $3::int, n - 2 * $3::int, $3, 0, CASE $3 WHEN 0 THEN '{1,0,7,0,3,2}' ELSE '{0,0,0,0,0,0}' END::bigint[] FROM (VALUES ('', 120), ($1::text, 20)) AS of (id, n), unnest('{2 hours,60 hours}'::interval[]) AS hours`, mine, of, i)
	}
	page = admin.get("/panel/").body
	tiles := tilesOf(page)
	require.Equal(t, []string{"12: 3 active", "97.0 %: 904 made, 28 failed attempts", "2: wait for a person", "3"},
		[]string{tiles["Endpoints"], tiles["Attempts that delivered, 48 h"], tiles["Given up"], strings.Split(tiles["Waiting"], ":")[0]})
	require.Contains(t, tiles["Relay"], "no slot")
	trouble := tableOf(page, "trouble")
	require.Len(t, trouble, 8, "of ten")
	for i, status := range []string{"name 0 127.0.0.1:1 disabled", "name 1 127.0.0.1:1 failing", "name 9 127.0.0.1:1 paused"} {
		require.Contains(t, trouble[i], status)
	}
	require.Equal(t, []string{"ep_0", "ep_1", "ep_9", "ep_8", "ep_7", "ep_6", "ep_5", "ep_4"}, found(h, preOf(page, "trouble-sql"), "id"))

	types := map[string][]string{
		"": {"order.paid 120 0", "order.sent 119 1", "a 118 2", "b 117 3", "c 116 4", "d 115 5"}, mine: {"order.paid 20 0", "order.sent 19 1", "a 18 2", "b 17 3", "c 16 4", "d 15 5"},
	}
	others := map[string]string{"": "others 227 13", mine: "others 27 13"}
	answers := map[string][]string{"": {"2xx 7", "not known: counted before an upgrade 919", "4xx 3", "5xx 2", "no answer 1"}, mine: {"2xx 5", "not known: counted before an upgrade 123", "4xx 3", "no answer 1"}}
	asSQL := strings.NewReplacer("no answer", "none", "not known: counted before an upgrade 919\n", "", "not known: counted before an upgrade 123\n", "")
	key, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "acme's", "tenant": "acme"})["secret"].(string)
	acme := h.loggedIn("acme", key)
	for name, look := range map[string]struct {
		page, endpoint string
		bad            int // answers that are none
	}{
		"all": {page, "", 3}, "one endpoint": {admin.get("/panel/endpoints/" + mine).body, mine, 2}, "a tenant": {acme.get("/panel/").body, mine, 2},
	} {
		require.Equal(t, append([]string{others[look.endpoint]}, types[look.endpoint]...), tableOf(look.page, "types"), name)
		require.Equal(t, types[look.endpoint], sums(h, look.page, "types", "event_type, attempts, failed"), name)
		require.ElementsMatch(t, answers[look.endpoint], tableOf(look.page, "answers"), name)
		require.ElementsMatch(t, strings.Split(asSQL.Replace(strings.Join(answers[look.endpoint], "\n")), "\n"), sums(h, look.page, "answers", "answer, attempts"), name)
		require.Equal(t, strings.Count(look.page, "<svg"), strings.Count(look.page, "</svg>"), name)
		_, drawn, _ := strings.Cut(look.page, `id="types"`)
		drawn, drawnAnswers, _ := strings.Cut(drawn, `id="answers"`)
		require.Equal(t, []int{7, 6}, []int{strings.Count(drawn, `class="b-good"`), strings.Count(drawn, `class="b-bad"`)}, name)
		require.Equal(t, []int{len(answers[look.endpoint]) - look.bad, look.bad}, []int{strings.Count(drawnAnswers, `class="b-good"`), strings.Count(drawnAnswers, `class="b-bad"`)}, "%s: what was answered with 2xx", name)
		for field, value := range map[string]string{"type": "order.paid", "class": "4xx"} {
			link := url.Values{field: {value}, "since": {"48h"}}
			if name == "one endpoint" {
				link.Set("endpoint", mine)
			}
			require.Contains(t, look.page, `href="/panel/log?`+strings.ReplaceAll(link.Encode(), "&", "&amp;")+`">`+value+"</a>", name)
		}
	}
	require.Equal(t, []string{"name mine 4xx 3", "name other 5xx 2", "name mine no answer 1"}, tableOf(page, "errors"), "the most first, whoever has them")
	require.Equal(t, []string{mine + " 4xx 3", other + " 5xx 2", mine + " none 1"}, sums(h, page, "errors", "endpoint_id, answer, attempts"))
	require.Equal(t, []string{mine + " 4xx 3", mine + " none 1"}, sums(h, acme.get("/panel/").body, "errors", "endpoint_id, answer, attempts"))
	h.exec("UPDATE tailpost.endpoint SET failing_since = now() WHERE id = $1", mine)
	require.Equal(t, []string{mine}, found(h, preOf(acme.get("/panel/").body, "trouble-sql"), "id"))
	theirs := tilesOf(acme.get("/panel/").body)
	require.Equal(t, []string{"1: 1 active", "78.8 %: 104 made, 28 failed attempts", "", ""}, []string{theirs["Endpoints"], theirs["Attempts that delivered, 48 h"], theirs["Relay"], theirs["Given up"]})
}

// TestTheOverviewIsOfWhatAKeyMaySee, and of nothing else.
func TestTheOverviewIsOfWhatAKeyMaySee(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.endpoint("", "mine")
	parts := []string{"Endpoints</span>", "Attempts that delivered, 48 h</span>", `id="trouble"`, `id="errors"`, "Given up</span>", "Relay</span>", "New endpoint"}
	for scope, want := range map[string][]string{
		"endpoints:read": {"Endpoints</span>", `id="trouble"`}, "deliveries:read": {`id="errors"`, "Given up</span>", "Relay</span>"}, "keys:write": nil,
		"endpoints:read deliveries:read": parts[:len(parts)-1], "endpoints:read endpoints:write": {"Endpoints</span>", `id="trouble"`, "New endpoint"},
	} {
		secret, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": scope, "scopes": strings.Fields(scope)})["secret"].(string)
		got := h.loggedIn(scope, secret).get("/panel/")
		require.Equal(t, http.StatusOK, got.status, "%s: %s", scope, got.body)
		var has []string
		for _, part := range parts {
			if strings.Contains(got.body, part) {
				has = append(has, part)
			}
		}
		require.ElementsMatch(t, want, has, scope)
	}
}
