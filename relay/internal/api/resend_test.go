package api_test

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

const resendPath = "/v1/deliveries/resend"

// endpoint makes one through the API and gives its id.
func (b *bundle) endpoint(tb testing.TB, tenant string) string {
	tb.Helper()
	body := map[string]any{"url": "https://example.com/in"}
	if tenant != "" {
		body["tenant"] = tenant
	}
	return b.post(tb, "/v1/endpoints", body).is(http.StatusCreated).text("id")
}

// attempted records an attempt as the relay would.
func (b *bundle) attempted(tb testing.TB, event, endpoint, trigger string) {
	tb.Helper()
	b.exec(tb, `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, duration_ms, attempted_at, commit_lsn)
VALUES ($1, 'order.created', $2, 1, $3, 'https://example.com/in', 'delivered', 200, 1, now() - interval '1 second', '0/10')`, event, endpoint, trigger)
}

// minutesAgo is a time half a minute ago, of the database.
func (b *bundle) minutesAgo(tb testing.TB) (text string) {
	tb.Helper()
	require.NoError(tb, b.conn.QueryRow(tb.Context(), `SELECT to_char(now() AT TIME ZONE 'UTC' - interval '30 seconds', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`).Scan(&text))
	return text
}

func pair(event, endpoint string) map[string]any {
	return map[string]any{"event_id": event, "endpoint_id": endpoint}
}

func with(m map[string]any, name string, value any) map[string]any {
	m[name] = value
	return m
}

const (
	rowOfAcme = "018f0000-0000-7000-8000-00000000000a"
	rowOfNone = "018f0000-0000-7000-8000-00000000000b"
	noRow     = "018f0000-0000-7000-8000-00000000000c"
)

func (b *bundle) insertRows(tb testing.TB) {
	tb.Helper()
	b.exec(tb, `INSERT INTO public.outbox (id, type, key, tenant, payload, headers, created_at) VALUES
		($1, 'order.created', 'k', 'acme', '{"n": 1}', '{"traceparent": "00-1"}', '2026-03-14 12:00:00+00'),
		($2, 'order.paid', '', NULL, '{}', '{}', '2026-03-14 12:00:00+00')`, rowOfAcme, rowOfNone)
}

func TestResendOfADeliveredEventQueuesItsRow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	id := b.endpoint(t, "")
	b.attempted(t, rowOfAcme, id, "stream")

	dry := b.post(t, resendPath, with(pair(rowOfAcme, id), "dry_run", true)).is(http.StatusOK)
	require.Equal(t, 1, dry.at("matched"))
	require.Equal(t, 0, dry.at("changed"))
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.delivery"))

	b.exec(t, "SELECT pg_logical_emit_message(true, 'test', 'moves the log on')")
	require.Equal(t, 1, b.post(t, resendPath, pair(rowOfAcme, id)).is(http.StatusOK).at("changed"))
	require.Equal(t, 1, b.count(t, `
SELECT count(*)
FROM tailpost.delivery
WHERE event_id = '`+rowOfAcme+`' AND state = 'pending' AND trigger = 'resend' AND reason = 'resend' AND attempts = 0
  AND next_attempt_at <= now() AND event_type = 'order.created' AND tenant = 'acme' AND key = 'k' AND headers::json ->> 'traceparent' = '00-1'
  AND payload = '{"n": 1}' AND event_created_at = '2026-03-14 12:00:00+00' AND commit_lsn > '0/10' AND commit_lsn <= pg_current_wal_insert_lsn()`))
	shown := b.get(t, "/v1/deliveries?event_id="+rowOfAcme).is(http.StatusOK)
	require.Equal(t, "A person asked for it to be sent again.", shown.at("data.0.explanation"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action = 'delivery.resend' AND object = '"+id+"'"))

	// A second time it waits already, and is attempted now where that is what is asked for.
	for _, dryRun := range []bool{false, true} {
		waits := b.post(t, resendPath, with(pair(rowOfAcme, id), "dry_run", dryRun)).is(http.StatusConflict)
		require.Contains(t, waits.text("detail"), "with state pending it is attempted now")
	}
	require.Equal(t, 1, b.post(t, resendPath, with(pair(rowOfAcme, id), "state", "pending")).is(http.StatusOK).at("changed"))

	// One that was discarded before it was attempted left another trace.
	b.exec(t, "INSERT INTO tailpost.discarded (event_id, endpoint_id, at) VALUES ($1, $2, now())", rowOfNone, id)
	require.Equal(t, 1, b.post(t, resendPath, pair(rowOfNone, id)).is(http.StatusOK).at("changed"))
}

// TestASelectionChoosesByAllThatItNames: each part leaves out what differs in it, is enough by
// itself, and is not overlooked beside the names of one delivery.
func TestASelectionChoosesByAllThatItNames(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	for i, event := range []string{"base", "typed", "acme", "reason", "older", "later"} {
		b.insertDelivery(t, event, id, "dead", 16+i)
	}
	b.exec(t, `
		UPDATE tailpost.delivery
		SET event_type = CASE event_id WHEN 'typed' THEN 'order.paid' ELSE event_type END, tenant = CASE event_id WHEN 'acme' THEN 'acme' END,
		    reason = CASE event_id WHEN 'reason' THEN 'rejected' ELSE reason END,
		    event_created_at = CASE event_id WHEN 'older' THEN '2026-03-14 11:00Z' WHEN 'later' THEN '2026-03-14 13:00Z' ELSE '2026-03-14 12:00Z'::timestamptz END,
		    updated_at = CASE event_id WHEN 'base' THEN '2026-03-14 14:00Z' ELSE '2026-03-14 15:00Z'::timestamptz END`)
	for _, test := range []struct {
		name  string
		value any
		want  string // the only one; "base": also by its names
	}{
		{"event_types", []string{"order.paid"}, "typed"},
		{"tenant", "acme", "acme"},
		{"reason", "rejected", "reason"},
		{"since", "2026-03-14T13:00:00Z", "later"},
		{"until", "2026-03-14T12:00:00Z", "older"},
	} {
		matched := func(path string, body map[string]any) any {
			return b.post(t, path, with(body, "dry_run", true)).is(http.StatusOK).at("matched")
		}
		for _, path := range []string{"/v1/deliveries/discard", "/v1/deliveries/resend"} {
			require.EqualValues(t, 1, matched(path, map[string]any{test.name: test.value}), "%s by %s", path, test.name)
			require.EqualValues(t, 1, matched(path, with(pair(test.want, id), test.name, test.value)), "%s by %s", path, test.name)
			require.EqualValues(t, 0, matched(path, with(pair("base", id), test.name, test.value)), "%s by %s", path, test.name)
		}
	}
	// An event that was delivered is sent again by its names alone.
	b.insertRows(t)
	b.attempted(t, rowOfAcme, id, "stream")
	for name, value := range map[string]any{
		"": nil, "event_types": []string{"order.created"}, "tenant": "acme", "reason": "exhausted", "state": "dead", "since": "2026-01-01T00:00:00Z",
		"until": "2027-01-01T00:00:00Z", "as_of": "2027-01-01T00:00:00Z",
	} {
		body, want := with(pair(rowOfAcme, id), "dry_run", true), 1
		if name != "" {
			body[name], want = value, 0
		}
		require.EqualValues(t, want, b.post(t, "/v1/deliveries/resend", body).is(http.StatusOK).at("matched"), name)
	}
	asOf := map[string]any{"all": true, "as_of": "2026-03-14T14:30:00Z", "dry_run": true}
	require.EqualValues(t, 1, b.post(t, "/v1/deliveries/discard", asOf).is(http.StatusOK).at("matched"))
	listed := b.get(t, "/v1/deliveries?event_type=order.paid").is(http.StatusOK)
	require.Len(t, listed.list("data"), 1)
	require.Equal(t, "typed", listed.at("data.0.event_id"))
}

func TestResendRefusesWhatItCannotSend(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	id := b.endpoint(t, "")
	b.attempted(t, noRow, id, "stream")
	b.attempted(t, "order-7", id, "stream") // a logical message
	b.attempted(t, rowOfNone, id, "test")
	for _, dryRun := range []bool{false, true} {
		gone := func(event string) {
			a := b.post(t, resendPath, with(pair(event, id), "dry_run", dryRun)).is(http.StatusConflict)
			require.Contains(t, a.text("detail"), "The payload of the event is gone")
		}
		gone(noRow)
		gone("order-7")
	}
	// What another endpoint has, had, or was to have is nothing of this one's.
	other := b.endpoint(t, "")
	b.attempted(t, rowOfAcme, other, "stream")
	b.insertDelivery(t, rowOfNone, other, "pending", 16)
	b.exec(t, "INSERT INTO tailpost.discarded (event_id, endpoint_id, at) VALUES ($1, $2, now())", rowOfNone, other)
	// There is a row, but the endpoint never had the event; and the other way round.
	b.post(t, resendPath, pair(rowOfAcme, id)).is(http.StatusNotFound)
	b.post(t, resendPath, pair(rowOfNone, id)).is(http.StatusNotFound)
	b.post(t, resendPath, pair(rowOfAcme, "ep_none")).is(http.StatusNotFound)
	require.Equal(t, 0, b.post(t, resendPath, with(pair(rowOfAcme, id), "dry_run", true)).is(http.StatusOK).at("matched"))
	// Whoever chooses by more than the two chooses among what waits.
	b.attempted(t, rowOfAcme, id, "stream")
	b.post(t, resendPath, with(pair(rowOfAcme, id), "state", "dead")).is(http.StatusNotFound)
	b.post(t, resendPath, with(pair(rowOfAcme, id), "reason", "exhausted")).is(http.StatusNotFound)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery"))
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action = 'delivery.resend'"), "what is refused is no change")
	b.insertDelivery(t, rowOfAcme, other, "pending", 16)
	b.post(t, resendPath, pair(rowOfAcme, id)).is(http.StatusOK)
}

func TestResendOfARowThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	b.exec(t, "UPDATE public.outbox SET type = ''")
	id := b.endpoint(t, "")
	b.attempted(t, rowOfAcme, id, "stream")
	odd := b.post(t, resendPath, pair(rowOfAcme, id)).is(http.StatusConflict)
	require.Contains(t, odd.text("detail"), "The outbox row of the event cannot be sent")
	b.get(t, "/v1/events/"+rowOfAcme).is(http.StatusOK)
}

func TestResendWhereEventsAreMessagesOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Outbox.Mapping.Table, c.Outbox.Messages = "", "app" })
	id := b.endpoint(t, "")
	b.attempted(t, "order-7", id, "stream")
	gone := b.post(t, resendPath, pair("order-7", id)).is(http.StatusConflict)
	require.Contains(t, gone.text("detail"), "logical message")
	b.post(t, resendPath, pair("order-8", id)).is(http.StatusNotFound)
}

func TestResendOfADeliveredEventKeepsToTheTenant(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	key := b.post(t, "/v1/keys", map[string]any{"name": "acme", "tenant": "acme"}).is(http.StatusCreated).text("secret")
	mine, other, all := b.endpoint(t, "acme"), b.endpoint(t, "bravo"), b.endpoint(t, "")
	for _, id := range []string{mine, other, all} {
		b.attempted(t, rowOfAcme, id, "stream")
		b.attempted(t, rowOfNone, id, "stream")
	}
	ask := func(event, endpoint string, dryRun bool) *answer {
		return b.do(t, call{key: key, method: http.MethodPost, path: resendPath, body: with(pair(event, endpoint), "dry_run", dryRun)})
	}
	ask(rowOfAcme, other, false).is(http.StatusNotFound)
	ask(rowOfAcme, all, false).is(http.StatusNotFound)
	require.Equal(t, 0, ask(rowOfAcme, other, true).is(http.StatusOK).at("matched"))
	ask(rowOfNone, mine, false).is(http.StatusNotFound)
	b.post(t, resendPath, pair(rowOfAcme, other)).is(http.StatusNotFound)
	require.Equal(t, 1, ask(rowOfAcme, mine, true).is(http.StatusOK).at("matched"))
	require.Equal(t, 1, ask(rowOfAcme, mine, false).is(http.StatusOK).at("changed"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery"))
}

// TestWhatIsDueIsSaidAgainOnceItIsVisible: a relay that hears of a commit before queries see it
// finds nothing in the queue. It is said of every endpoint.
func TestWhatIsDueIsSaidAgainOnceItIsVisible(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id, other := b.endpoint(t, ""), b.endpoint(t, "")
	for event, to := range map[string]string{"e1": id, "e2": id, "e3": other} {
		b.insertDelivery(t, event, to, "dead", 16)
	}
	b.exec(t, "CREATE PUBLICATION nothing")
	b.exec(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", b.db.Slot())
	b.post(t, resendPath, pair("e1", id)).is(http.StatusOK)
	require.Equal(t, 2, b.post(t, "/v1/deliveries/discard", map[string]any{"all": true}).is(http.StatusOK).at("changed"))
	rows, err := b.conn.Query(t.Context(), `
SELECT DISTINCT e.id, c.xid::text
FROM pg_logical_slot_get_binary_changes($1, NULL::pg_lsn, NULL::integer, 'proto_version', '1', 'publication_names', 'nothing', 'messages', 'true') AS c
JOIN unnest($2::text[]) AS e (id) ON position(convert_to('{"due":{"endpoint":"' || e.id || '"}}', 'UTF8') IN c.data) > 0
WHERE get_byte(c.data, 0) = ascii('M')`, b.db.Slot(), []string{id, other})
	require.NoError(t, err)
	said := make(map[string]int) // transactions that did, by endpoint
	var of, xid string
	_, err = pgx.ForEachRow(rows, []any{&of, &xid}, func() error { said[of]++; return nil })
	require.NoError(t, err)
	require.Equal(t, map[string]int{id: 4, other: 2}, said, "each change says it, and a transaction after it")
	b.exec(t, "SELECT pg_drop_replication_slot($1)", b.db.Slot())
}

func TestResendOfManyIsRepeatable(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	b.insertDelivery(t, "e1", id, "dead", 16)
	ask := func(body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPost, path: resendPath, body: body, headers: http.Header{"Idempotency-Key": {"once"}}})
	}
	many := map[string]any{"endpoint_id": id, "since": "2026-03-14T12:00:00Z", "until": "2100-01-01T00:00:00Z", "event_types": []string{"order.created"}}
	first := ask(many).is(http.StatusAccepted)
	require.JSONEq(t, string(first.Body), string(ask(many).is(http.StatusAccepted).Body))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.resend"))
	require.Equal(t, 1, first.at("total"))
	require.Equal(t, map[string]any{
		"endpoint_id": id, "since": "2026-03-14T12:00:00Z", "until": "2100-01-01T00:00:00Z", "event_types": []any{"order.created"}, "state": "dead",
	}, b.get(t, "/v1/resends/"+first.text("id")).is(http.StatusOK).at("selection"))
	ask(pair("e1", id)).is(http.StatusUnprocessableEntity)
}

func TestResendThatIsOverIsNotCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.post(t, resendPath, map[string]any{"all": true, "state": "pending"}).is(http.StatusAccepted).text("id")
	for _, state := range []string{"done", "failed"} {
		b.exec(t, "UPDATE tailpost.resend SET state = $1, error = 'the selection is odd'", state)
		over := b.post(t, "/v1/resends/"+id+"/cancel", nil).is(http.StatusConflict)
		require.Contains(t, over.text("detail"), "The resend is over: it is "+state)
	}
	require.Equal(t, "the selection is odd", b.get(t, "/v1/resends/"+id).is(http.StatusOK).text("error"))
	b.get(t, "/v1/resends/rs_none").is(http.StatusNotFound)
	b.post(t, "/v1/resends/rs_none/cancel", nil).is(http.StatusNotFound)
}

func TestResendOfMoreThanCanBeCounted(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertDelivery(t, "e1", b.endpoint(t, ""), "dead", 16)
	b.exec(t, "ALTER TABLE tailpost.delivery RENAME TO really")
	b.exec(t, "CREATE VIEW tailpost.delivery AS SELECT r.* FROM tailpost.really AS r WHERE pg_sleep(60)::text = ''")
	made := b.post(t, resendPath, map[string]any{"all": true}).is(http.StatusAccepted)
	require.Nil(t, made.at("total"))
}
