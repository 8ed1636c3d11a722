package panel_test

import (
	"html"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/signature"
)

var linksOf = regexp.MustCompile(`rel="(prev|next)" href="([^"]+)"`)

// neighbours are the pages before and after an attempt.
func neighbours(page string) map[string]string {
	all := make(map[string]string)
	for _, found := range linksOf.FindAllStringSubmatch(page, -1) {
		all[found[1]] = html.UnescapeString(found[2])
	}
	return all
}

// TestAnAttemptIsAmongThoseOfItsDelivery: its page is that of this one, leads to the one before it
// and the one after, and lists those around it.
func TestAnAttemptIsAmongThoseOfItsDelivery(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine, other := h.endpoint("", "mine"), h.endpoint("", "other")
	const most, shown = 24, 20
	h.exec(`INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, response_body, attempted_at, commit_lsn)
		SELECT 'e', 'order.paid', e.id, n, 'stream', 'http://127.0.0.1:1/', 'retry', 1, 'answer ' || n || ' of ' || e.name, now() - make_interval(secs => (25 - n) / 2), '0/10'
		FROM generate_series(1, 24) AS n, tailpost.endpoint AS e`)
	admin := h.loggedIn("admin", houseKey)
	rows := rowsOf(admin.get("/panel/log?endpoint=" + mine).body)
	require.Len(t, rows, most)
	at := make([]string, most+1) // by number
	for i, row := range rows {
		at[most-i] = html.UnescapeString(regexp.MustCompile(`class="main-link" href="([^"]+)"`).FindStringSubmatch(row)[1])
	}
	for _, n := range []int{1, 2, 10, 11, 14, 15, most - 1, most} {
		page := admin.get(at[n])
		require.Equal(t, http.StatusOK, page.status, "%d: %s", n, page.body)
		text := tag.ReplaceAllString(page.body, "")
		require.Contains(t, page.body, `<span class="tag">attempt `+strconv.Itoa(n)+`</span>`)
		require.Contains(t, text, "answer "+strconv.Itoa(n)+" of name mine", "two of them were at the same time")
		require.NotContains(t, text, "name other")
		want := make(map[string]string)
		if n > 1 {
			want["prev"] = at[n-1]
		}
		if n < most {
			want["next"] = at[n+1]
		}
		require.Equal(t, want, neighbours(page.body), n)
		list := rowsOf(page.body)
		first, last := max(1, n-shown/2+1), min(most, n+shown/2)
		require.Len(t, list, last-first+1, n)
		require.Contains(t, list[0], html.EscapeString(at[last]), n)
		require.Contains(t, list[len(list)-1], html.EscapeString(at[first]), n)
	}
	alone := strings.TrimSuffix(at[1], "&n=1")
	require.NotEqual(t, alone, at[1])
	require.Equal(t, http.StatusOK, admin.get(alone).status, "a link without its number")
	for name, path := range map[string]string{
		"another number": alone + "&n=99", "another time": strings.Replace(at[1], "at=20", "at=21", 1), "another endpoint": strings.Replace(at[1], mine, "ep_none", 1),
		"no event": strings.Replace(at[1], "event=e&", "", 1), "no endpoint": strings.Replace(at[1], "endpoint="+mine, "", 1),
	} {
		require.Equal(t, http.StatusNotFound, admin.get(path).status, name)
	}
	require.Contains(t, admin.get(strings.Replace(at[1], mine, other, 1)).body, "name other")
	require.Contains(t, preOf(admin.get(at[1]).body, "copy-sql"), "endpoint_id = '"+mine+"'\n  AND event_id = 'e'")
}

// repeated is a request as a command of an attempt's page makes it, by a shell that has the secret
// and, in place of curl, writes down what it is given.
func repeated(t *testing.T, script, secret string) (options string, header http.Header, body string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `curl() { printf '%s\0' "$@"; }`+"\n"+script)
	cmd.Env = []string{"SECRET=" + secret, "PATH=/usr/local/bin:/usr/bin:/bin"}
	out, err := cmd.Output()
	require.NoError(t, err, script)
	words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	header = make(http.Header)
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			header.Add(name, value)
		case "--data-binary":
			i++
			body = words[i]
		default:
			options += words[i] + " "
		}
	}
	return strings.TrimSpace(options), header, body
}

// TestTheCommandOfAnAttemptMakesItsRequest: to the same address, in the same way, with the same
// body and a signature that the receiver takes. What it cannot have, it says.
func TestTheCommandOfAnAttemptMakesItsRequest(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"openssl", "base64", "od"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("the command needs ", program)
		}
	}
	h := newHouse(t, withTwoVersions(t))
	admin := h.loggedIn("admin", houseKey)
	const event, at, payload = "018f0000-0000-7000-8000-000000000001", "http://127.0.0.1:1/in", `{"id": 7, "total": {"amount": 9.50}}`
	const standard = `{"id":"` + event + `","type":"order.paid","timestamp":"2026-01-02T03:04:05Z","data":` + payload + `}`
	h.exec(`INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1, 'order.paid', $2::text::jsonb, '2026-01-02 03:04:05Z')`, event, payload)
	request := ledger.NewRequestID(time.Unix(1, 0))
	for name, test := range map[string]struct {
		settings      map[string]any
		change        string // of the attempt, as SQL
		options, body string // the usual ones where they are empty
		says          string // beside what each says
		kind          string
	}{
		"as it is":              {},
		"for Stripe":            {settings: map[string]any{"signature": "stripe"}, kind: "application/json; charset=utf-8"},
		"for GitHub":            {settings: map[string]any{"signature": "github"}},
		"the payload alone":     {settings: map[string]any{"format": "raw"}, body: payload},
		"another format":        {settings: map[string]any{"format": "cloudevents"}, body: payload, says: "not what was sent"},
		"a body of its own":     {settings: map[string]any{"subscriptions": []any{map[string]any{"body": "{ a = 1 }"}}}, body: payload, says: "not what was sent"},
		"another method":        {settings: map[string]any{"method": "PUT"}, options: "-sS -i -g -X PUT " + at},
		"another HTTP":          {settings: map[string]any{"http": "1.1"}, options: "-sS -i -g --http1.1 " + at},
		"compressed":            {settings: map[string]any{"gzip": true}, says: "here they are not"},
		"with a password":       {settings: map[string]any{"auth": map[string]any{"type": "bearer", "token": "a"}}, says: "add the Authorization header"},
		"of an older version":   {settings: map[string]any{"payload_version": "2025-01-01"}, body: strings.Replace(standard, `{"id": 7, "total": {"amount": 9.50}}`, `{"id":7,"total":9.50}`, 1)},
		"of a batch":            {change: "request_id = '" + request + "'", body: "[" + standard + "]", says: "may have had other events"},
		"with a key pair":       {settings: map[string]any{"secret_type": "whsk"}, says: "signs with a key pair"},
		"of a secret query":     {settings: map[string]any{"url": at + "?token=[1]"}, options: "-sS -i -g " + at + "?token=[1]"},
		"to another URL":        {settings: map[string]any{"url": at + "/other"}},
		"to what is not stored": {settings: map[string]any{"url": at + "/other"}, change: "url = '" + at + "?[redacted]'", options: "-sS -i -g " + at + "?REDACTED", says: "in the place of REDACTED"},
	} {
		settings := map[string]any{"url": at, "name": name}
		maps.Copy(settings, test.settings)
		made := h.admin().made(http.MethodPost, "/v1/endpoints", settings)
		id, _ := made["id"].(string)
		secret, _ := made["secret"].(string)
		scheme, _ := made["signature"].(string)
		method, _ := made["method"].(string)
		version, _ := made["payload_version"].(string)
		h.attempt(id, event, "", "in")
		h.exec("UPDATE tailpost.attempt SET event_type = 'order.paid' WHERE endpoint_id = $1", id)
		if name == "of a secret query" {
			test.change = "url = '" + at + "?[redacted]'"
		}
		if test.change != "" {
			h.exec("UPDATE tailpost.attempt SET "+test.change+" WHERE endpoint_id = $1", id)
		}
		row := rowsOf(admin.get("/panel/log?endpoint=" + id).body)[0]
		page := admin.get(html.UnescapeString(regexp.MustCompile(`class="main-link" href="([^"]+)"`).FindStringSubmatch(row)[1])).body
		script := preOf(page, "copy-request")
		require.NotContains(t, page, secret, name)
		hint := html.UnescapeString(regexp.MustCompile(`small muted">(Set SECRET[^<]*)<`).FindStringSubmatch(page)[1])
		for _, says := range []string{"not what was sent", "here they are not", "add the Authorization header", "may have had other events", "signs with a key pair", "in the place of REDACTED"} {
			require.Equal(t, says == test.says, strings.Contains(hint, says), "%s: %s", name, hint)
		}
		require.Equal(t, scheme == "standard", strings.Contains(hint, "(whsec_…)"), "%s: how the receiver has the secret", name)
		require.Contains(t, page, "<strong>"+method+"</strong>", name)
		if name == "with a key pair" {
			continue
		}
		options, header, body := repeated(t, script, secret)
		or := func(text, usual string) string { return map[bool]string{true: usual, false: text}[text == ""] }
		require.Equal(t, or(test.options, "-sS -i -g "+at), options, name)
		require.Equal(t, or(test.body, standard), body, name)
		require.Equal(t, or(test.kind, "application/json"), header.Get("Content-Type"), name)
		require.Equal(t, version, header.Get("Webhook-Version"), name)
		require.Equal(t, map[bool]string{true: request, false: event}[name == "of a batch"], header.Get("Webhook-Id"), name)
		verifier, err := signature.NewVerifierFor(signature.Scheme(scheme), secret)
		require.NoError(t, err)
		require.NoError(t, verifier.Verify(header, []byte(body)), name)
	}
}

// momentsOf is the timeline of an event's page: the kind of each moment, and what it says.
func momentsOf(page string) (list []string) {
	_, part, _ := strings.Cut(page, `<ol class="tl">`)
	part, _, _ = strings.Cut(part, "</ol>")
	for _, found := range regexp.MustCompile(`(?s)<li class="(\w*)"><div>(.*?)</div>(.*?)</li>`).FindAllStringSubmatch(part, -1) {
		says, _, _ := strings.Cut(found[3], `<div class="when">`)
		when := map[bool]string{true: " @"}[says != found[3]]
		list = append(list, strings.TrimSpace(blank.ReplaceAllString(tag.ReplaceAllString(found[1]+": "+found[2]+" | "+says, " "), " "))+when)
	}
	return list
}

// TestAnEventSaysWhatBecameOfIt, in the order of time and then what is to come; and of the many,
// the newest, with the way to the others.
func TestAnEventSaysWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	const event = "018f0000-0000-7000-8000-000000000001"
	h.exec("SELECT tailpost.ensure_attempt_partitions((now() - interval '1 day')::date, 3)")
	h.exec(`INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1, 'order.paid', '{"total": 1.50}', now() - interval '5 hours')`, event)
	ids := make(map[string]string)
	for _, name := range []string{"good", "gave-up", "later", "paused"} {
		ids[name] = h.endpoint("", name)
		h.attempt(ids[name], event, "", name)
	}
	for name, set := range map[string]string{
		"good": "outcome = 'delivered', status_code = 200, error = NULL, attempted_at = now() - interval '3 hours'", "gave-up": "outcome = 'dead', attempted_at = now() - interval '1 hour'",
		"later": "attempted_at = now() - interval '2 hours'", "paused": "attempted_at = now() - interval '4 hours'",
	} {
		h.exec("UPDATE tailpost.attempt SET "+set+" WHERE endpoint_id = $1", ids[name])
	}
	for name, is := range map[string][2]string{"gave-up": {"dead", "exhausted"}, "later": {"pending", "failed"}, "paused": {"pending", "paused"}} {
		h.exec(`INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
			VALUES ($1, $2, $3, $4, 1, CASE WHEN $3 = 'pending' THEN now() + interval '1 hour' END, 'order.paid', '{}', now(), '0/10', 1, now(), now())`, event, ids[name], is[0], is[1])
	}
	admin := h.loggedIn("admin", houseKey)
	page := admin.get("/panel/events/" + event).body
	moments := momentsOf(page)
	require.Equal(t, []string{
		": Created | The application wrote the event. @", "warn: Failed, to be tried again · name paused | attempt 1 (stream): answer 500: error paused, 12\u00a0ms @",
		"good: Delivered · name good | attempt 1 (stream): answer 200, 12\u00a0ms @", "warn: Failed, to be tried again · name later | attempt 1 (stream): answer 500: error later, 12\u00a0ms @",
		"bad: Given up · name gave-up | attempt 1 (stream): answer 500: error gave-up, 12\u00a0ms @",
	}, moments[:5])
	require.Len(t, moments, 8)
	for start, timed := range map[string]bool{"bad: Waits for a person · name gave-up": false, ": Next attempt · name later": true, ": Waits · name paused": false} {
		found := 0
		for _, m := range moments[5:] {
			if strings.HasPrefix(m, start) {
				found++
				require.Equal(t, timed, strings.HasSuffix(m, " @"), m)
				require.Regexp(t, `\| \S+ .+ \w+, 1 attempt so far`, m, "why, in a sentence and in a word")
			}
		}
		require.Equal(t, 1, found, "%s: %v", start, moments[5:])
	}
	require.Contains(t, page, `<a href="/panel/attempt?`)
	require.Contains(t, page, `<span class="n">1.50</span>`, "the payload")
	require.Contains(t, preOf(page, "copy-sql"), "WHERE event_id = '"+event+"'")
	require.Equal(t, "tailpost explain '"+event+"' --api '"+h.url+"'", preOf(page, "copy-command"))
	require.NotContains(t, page, "There is more: the log has all")
	require.NotContains(t, page, "More endpoints")
	require.Equal(t, page[strings.Index(page, "<main"):], strings.ReplaceAll(admin.get("/panel/events/"+strings.ToUpper(event)).body, strings.ToUpper(event), event)[strings.Index(page, "<main"):], "an id in capitals is the same one")

	h.exec("UPDATE public.outbox SET created_at = (SELECT min(attempted_at) FROM tailpost.attempt) WHERE id = $1", event)
	require.Equal(t, moments[:2], momentsOf(admin.get("/panel/events/" + event).body)[:2], "it was created before its first attempt, also where both have the same time")
	const most = 40
	h.exec(`INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT $1, 'order.paid', $2, n, 'stream', 'http://127.0.0.1:1/', 'retry', 1, now(), '0/10' FROM generate_series(2, 37) AS n`, event, ids["later"])
	h.exec(`INSERT INTO tailpost.endpoint SELECT (jsonb_populate_record(e, jsonb_build_object('id', 'ep_' || n, 'name', 'many ' || n))).* FROM tailpost.endpoint AS e, generate_series(1, 30) AS n WHERE e.id = $1`, ids["good"])
	page = admin.get("/panel/events/" + event).body
	require.Len(t, momentsOf(page), 1+most+3)
	require.NotContains(t, page, "There is more: the log has all")
	h.attempt(ids["later"], event, "", "newest")
	page = admin.get("/panel/events/" + event).body
	require.Len(t, momentsOf(page), 1+most+3)
	require.Contains(t, page, "error newest")
	require.NotContains(t, page, "error paused", "the oldest one is on another page")
	require.Contains(t, page, `<a href="/panel/log?event=`+event+`">There is more: the log has all of its attempts</a>`)
	why := rowsOf(page)
	next := neighbours(page)["next"]
	require.Len(t, why, 25)
	require.Len(t, rowsOf(admin.get(next).body), 34-25, next)
	require.Empty(t, neighbours(admin.get(next).body))
}

// TestAnAttemptShowsWhatIsKeptOfIt: its payload and headers, what its delivery waits for, and where
// something is not kept, that.
func TestAnAttemptShowsWhatIsKeptOfIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	const event = "018f0000-0000-7000-8000-000000000001"
	mine, other := h.endpoint("", "mine"), h.endpoint("", "other")
	h.exec(`INSERT INTO public.outbox (id, type, payload) VALUES ($1, 'order.paid', '{"total": 1.50}')`, event)
	h.attempt(mine, event, "", "mine")
	h.exec("UPDATE tailpost.attempt SET attempted_at = date_trunc('minute', clock_timestamp())")
	h.queue(other, "dead", 1, 1)
	h.queue(mine, "pending", 2, 2)
	h.queue(h.endpoint("", "third"), "dead", 3, 3)
	h.exec("UPDATE tailpost.delivery SET event_id = $1", event)
	secret, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "reader", "scopes": []string{"deliveries:read"}})["secret"].(string)
	admin, reader := h.loggedIn("admin", houseKey), h.loggedIn("reader", secret)
	row := rowsOf(admin.get("/panel/log").body)[0]
	at := html.UnescapeString(regexp.MustCompile(`class="main-link" href="([^"]+)"`).FindStringSubmatch(row)[1])
	page := admin.get(at).body
	unix := h.text("SELECT extract(epoch FROM attempted_at)::bigint::text FROM tailpost.attempt")
	sent := `<dl class="hd"><dt>webhook-id</dt><dd>` + event + `</dd><dt>webhook-timestamp</dt><dd>` + unix + `</dd><dt>webhook-signature</dt><dd>not kept: it is made anew for every request</dd></dl>`
	for _, part := range []string{sent, `<span class="n">1.50</span>`, `<div class="note warn">`, "Next attempt in", "answer mine", `value="pending ` + mine + " " + event + `"`, `<a href="/panel/endpoints/` + mine + `">name mine</a>`, `id="copy-request"`} {
		require.Contains(t, page, part)
	}
	require.NotContains(t, page, `<div class="note bad">Every`, "what waits for another endpoint is not its own")
	page = reader.get(at).body
	for _, part := range []string{`<span class="n">`, "answer mine", "copy-request", "name mine", ">Resend</button>"} {
		require.NotContains(t, page, part, "a key without the scopes")
	}
	require.Contains(t, page, "this key lacks the scope <code>payloads:read</code>")

	secret, _ = h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "payloads", "scopes": []string{"deliveries:read", "payloads:read"}})["secret"].(string)
	page = h.loggedIn("payloads", secret).get(at).body
	require.Contains(t, page, `<span class="n">1.50</span>`)
	require.NotContains(t, page, "copy-request", "nobody says how the endpoint is called")

	h.exec(`UPDATE tailpost.attempt SET request_headers = '{"X-B": "2", "X-A": "1"}', response_headers = '{"Server": "s", "Age": "0"}'`)
	page = admin.get(at).body
	require.Contains(t, page, `<dl class="hd"><dt>X-A</dt><dd>1</dd><dt>X-B</dt><dd>2</dd></dl>`)
	require.Contains(t, page, `<dl class="hd"><dt>Age</dt><dd>0</dd><dt>Server</dt><dd>s</dd></dl>`)
	require.NotContains(t, page, "not kept")

	large := strings.Repeat("x", 20_000)
	h.exec(`UPDATE public.outbox SET payload = jsonb_build_object('a', $1::text)`, large)
	page = admin.get(at).body
	require.Contains(t, page, large)
	require.NotContains(t, page, "copy-request", "too much for a command")
	h.exec("DELETE FROM tailpost.delivery")
	page = admin.get(at).body
	require.NotContains(t, page, "Next attempt")
	require.Contains(t, page, `value="- `+mine+" "+event+`"`, "it is taken from the outbox")
	h.exec("DELETE FROM public.outbox")
	page = admin.get(at).body
	require.Contains(t, page, "The outbox row is gone, and with it the payload")
	require.NotContains(t, page, ">Resend</button>", "there is nothing to send")
	h.admin().made(http.MethodDelete, "/v1/endpoints/"+mine, nil)
	page = admin.get(at).body
	require.Contains(t, page, "the endpoint is gone")
	require.Contains(t, page, "<strong>POST</strong>")
}
