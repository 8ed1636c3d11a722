package panel_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// TestTheSameInBulkByOtherMeans is about the same deliveries, and no more than the question was.
func TestTheSameInBulkByOtherMeans(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("acme", "mine")
	h.queue(mine, "dead", 1, 3)
	h.queue(h.endpoint("", "other"), "dead", 4, 7)
	h.exec("UPDATE tailpost.delivery SET tenant = 'acme' WHERE endpoint_id = $1", mine)
	admin := h.loggedIn("admin", houseKey)
	filter := []string{"state", "dead", "reason", "failed", "endpoint", mine, "event", "e-2", "type", "order.paid", "tenant", "acme", "since", "2020-01-02", "until", "2999-01-02 03:04"}
	const flags = " --state 'dead' --reason 'failed' --endpoint '%' --event 'e-2' --type 'order.paid' --tenant 'acme' --since '2020-01-02T00:00:00Z' --until '2999-01-02T03:04:00Z'"
	for act, fields := range map[string][]string{"resend": filter, "discard": filter, "resend all": {"state", "dead"}, "discard all": {"state", "dead"}} {
		act, all := strings.CutSuffix(act, " all")
		ask := admin.asked(admin.form("/panel/", append([]string{"which", "all", "act", act}, fields...)...)).body
		count, matched := "1 delivery?", 1.0
		if all {
			count, matched = "7 deliveries?", 7
		}
		require.Contains(t, ask, count)
		call := regexp.MustCompile(`(?s)^curl -sS -X POST '(.*?)' \\\n  -H "Authorization: Bearer \$TAILPOST_API_KEY" \\\n  -H 'Content-Type: application/json' \\\n  -d '(.*)'$`).FindStringSubmatch(preOf(ask, "copy-curl"))
		require.NotNil(t, call, preOf(ask, "copy-curl"))
		require.Equal(t, h.url+"/v1/deliveries/"+act, call[1])
		var selection map[string]any
		require.NoError(t, json.Unmarshal([]byte(call[2]), &selection))
		require.Equal(t, formOf(ask).Get("as_of"), selection["as_of"], "what came since is left alone")
		selection["dry_run"] = true
		require.InDelta(t, matched, h.admin().made(http.MethodPost, "/v1/deliveries/"+act, selection)["matched"], 0)
		command := ""
		switch {
		case act == "resend" && all:
			command = "tailpost resend --all --api '" + h.url + "' --state 'dead'"
		case act == "resend":
			command = "tailpost resend --api '" + h.url + "'" + strings.ReplaceAll(flags, "%", mine)
		}
		require.Equal(t, command, preOf(ask, "copy-command"))
		if !all {
			require.Contains(t, ask, `<dl class="facts"><dt>State</dt><dd>given up</dd><dt>Reason</dt><dd>failed</dd><dt>Endpoint</dt><dd>`+mine+`</dd><dt>Event</dt><dd>e-2</dd><dt>Type</dt><dd>order.paid</dd>`+
				`<dt>Tenant</dt><dd>acme</dd><dt>Created since</dt><dd>2020-01-02</dd><dt>Created before</dt><dd>2999-01-02 03:04</dd></dl>`, "a person reads what it is about")
		}
	}
	list := admin.get("/panel/undelivered?endpoint=" + mine + "&reason=failed&type=order.paid&tenant=acme&event=e-2&since=2020-01-02&until=2999-01-02+03:04").body
	require.Equal(t, "tailpost deliveries --api '"+h.url+"'"+strings.ReplaceAll(flags, "%", mine), preOf(list, "copy-command"))
	list = admin.get("/panel/log?endpoint=" + mine + "&event=e&type=a'b&tenant=acme&outcome=dead&class=5xx&since=2020-01-02&until=2020-01-03").body
	require.Equal(t, "tailpost attempts --api '"+h.url+"' --endpoint '"+mine+`' --event 'e' --type 'a'\''b' --tenant 'acme' --outcome 'dead' --status '5xx' --since '2020-01-02T00:00:00Z' --until '2020-01-03T00:00:00Z'`,
		preOf(list, "copy-command"))
	admin.header.Set("X-Forwarded-Proto", "https")
	require.Equal(t, http.StatusSeeOther, admin.get("/panel/log").status, "its cookie is another one's there")
	require.Empty(t, preOf(h.visitor("acme").get("/portal/log").body, "copy-sql"), "a customer has neither the database nor a key")
}

// TestAChangeOnRecordLeadsToWhatWasChanged, as long as it has a page, and shows it with its digits.
func TestAChangeOnRecordLeadsToWhatWasChanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	links := [][3]string{
		{"endpoint.pause", "ep_1", "endpoints/ep_1"},
		{"endpoint.delete", "ep_2", ""},
		{"replay.create", "rp_1", "replays/rp_1"},
		{"event_type.put", "a/b", "catalogue/types/a%2Fb"},
		{"event_type.delete", "c", ""},
		{"delivery.resend", "rs_1", "resends/rs_1"},
		{"key.create", "key_1", ""},
	}
	for _, link := range links {
		h.exec(`INSERT INTO tailpost.audit (at, actor, address, action, object, before, after) VALUES (now(), 'config:admin', '127.0.0.1', $1, $2, '{"rate": 1.50}', '{"rate": 2.50}')`, link[0], link[1])
	}
	rows := rowsOf(h.loggedIn("admin", houseKey).get("/panel/audit").body)
	require.Len(t, rows, len(links))
	for i, link := range links {
		row := rows[len(links)-1-i]
		want := `<td class="p2 wrap"><span class="mono">` + link[1] + "</span></td>"
		if link[2] != "" {
			want = `<td class="p2 wrap"><a href="/panel/` + link[2] + `"><span class="mono">` + link[1] + "</span></a></td>"
		}
		require.Contains(t, row, want, link[0])
		require.Regexp(t, `(?s)It was.*>1\.50<.*It is.*>2\.50<`, row)
	}
}

// TestWhatAPageRefersToIsThere, on both sites, for whoever has not logged in, too; and a browser
// may keep it, and nothing else.
func TestWhatAPageRefersToIsThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *config.Config) { c.Panel.Portal = config.Portal{ColorDark: "#aabbcc"} })
	refers, fonts := regexp.MustCompile(`(?:src|href)="(/\w+/assets/[^"]+)"`), regexp.MustCompile(`url\("?([^")]+\.woff2)"?\)`)
	for root, page := range map[string]reply{"/panel/": h.caller("visitor", "").get("/panel/login"), "/portal/": h.visitor("acme").get("/portal/endpoints")} {
		require.Equal(t, []string{"no-store", "nosniff", "same-origin", "same-origin"}, []string{
			page.header.Get("Cache-Control"), page.header.Get("X-Content-Type-Options"), page.header.Get("Referrer-Policy"), page.header.Get("Cross-Origin-Opener-Policy"),
		})
		kinds := make(map[string]int)
		look := func(path string) string {
			got := h.caller("browser", "").get(path)
			require.Equal(t, http.StatusOK, got.status, path)
			require.NotEmpty(t, got.body, path)
			require.Equal(t, "public, max-age=31536000, immutable", got.header.Get("Cache-Control"), path)
			kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
			kinds[kind]++
			return got.body
		}
		for _, found := range refers.FindAllStringSubmatch(page.body, -1) {
			require.True(t, strings.HasPrefix(found[1], root+"assets/"), found[1])
			style := look(found[1])
			for _, font := range fonts.FindAllStringSubmatch(style, -1) {
				look(root + "assets/" + font[1])
			}
		}
		require.Equal(t, map[string]int{"image/svg+xml": 1, "text/css": 1, "text/javascript": 1, "font/woff2": 2}, kinds, root)
		require.Equal(t, http.StatusNotFound, h.caller("browser", "").get(root+"assets/panel.css").status)
	}
	guest := h.visitor("acme")
	page := guest.get("/portal/endpoints").body
	require.Contains(t, page, `<span class="wrap">Webhooks</span>`, "a portal without a name")
	require.Regexp(t, `href="/portal/theme\.css\?\w+"`, page, "a colour for the dark alone is one")
	theme := guest.get("/portal/theme.css").body
	require.Contains(t, theme, "--accent: #aabbcc;")
	require.NotRegexp(t, `(?m)^:root \{`, theme)
	require.Equal(t, http.StatusNotFound, guest.get("/portal/logo").status)
	plain := newHouse(t, nil).visitor("acme")
	require.NotContains(t, plain.get("/portal/endpoints").body, "theme.css")
	require.Empty(t, plain.get("/portal/theme.css").body)
}
