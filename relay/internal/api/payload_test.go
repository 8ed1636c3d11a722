package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// The marks of what only a key with payloads:read may see.
const (
	markPayload = "mark-of-the-payload"
	markHeader  = "mark-of-a-header"
	markAnswer  = "mark-of-the-answer"
)

// marks returns which marks a text has.
func marks(text string) (found []string) {
	for _, mark := range []string{markPayload, markHeader, markAnswer} {
		if strings.Contains(text, mark) {
			found = append(found, mark)
		}
	}
	return found
}

// insertMarked fills the tables with an event, its delivery and its attempt, which carry the marks,
// and returns the endpoint. The endpoint's receiver answers with a mark.
func insertMarked(t *testing.T, b *bundle) (endpoint string) {
	t.Helper()
	r := newReceiver(t)
	r.answer = markAnswer
	endpoint = b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "where": `event.data.word == "another"`}).is(http.StatusCreated).text("id")
	b.exec(t, `INSERT INTO public.outbox (id, type, payload, headers, created_at)
		VALUES ($1, 'order.created', jsonb_build_object('word', $2::text), jsonb_build_object('x-mark', $3::text), now() + interval '1 minute')`, rowOfNone, markPayload, markHeader)
	b.attempted(t, rowOfNone, endpoint, "stream")
	b.exec(t, "UPDATE tailpost.attempt SET response_body = $1, search = ARRAY['word=' || $2::text]", markAnswer, markPayload)
	other := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "where": `event.data.word == "another"`}).is(http.StatusCreated).text("id")
	b.insertDelivery(t, "parked", other, "dead", 16)
	b.exec(t, `UPDATE tailpost.delivery SET payload = convert_to('{"word": "' || $1::text || '"}', 'UTF8')`, markPayload)
	return endpoint
}

// TestPayloadsNeedAScope calls every operation that shows a part of a payload or of an answer, with
// and without payloads:read.
func TestPayloadsNeedAScope(t *testing.T) { //nolint:tparallel // one after the other: they count what is there
	t.Parallel()
	b := setup(t, nil)
	id := insertMarked(t, b)
	_, blind := b.key(t, "", "endpoints:write", "deliveries:write", "keys:write")
	event := "/v1/events/" + rowOfNone
	for name, c := range map[string]struct { //nolint:paralleltest // see above
		call

		shows string
	}{
		"attempts":                   {call{method: http.MethodGet, path: "/v1/attempts"}, markAnswer},
		"what attempts are found by": {call{method: http.MethodGet, path: "/v1/attempts"}, markPayload},
		"attempts of an endpoint":    {call{method: http.MethodGet, path: "/v1/endpoints/" + id + "/attempts"}, markAnswer},
		"the answer to a test":       {call{method: http.MethodPost, path: "/v1/endpoints/" + id + "/test", body: map[string]any{"data": map[string]any{"n": 1}}}, markAnswer},
		"an event's payload":         {call{method: http.MethodGet, path: event}, markPayload},
		"an event's payload, raw":    {call{method: http.MethodGet, path: event + "?raw=true"}, markPayload},
		"an event's headers":         {call{method: http.MethodGet, path: event}, markHeader},
		"an event's attempts":        {call{method: http.MethodGet, path: event}, markAnswer},
		"a parked payload":           {call{method: http.MethodGet, path: "/v1/events/parked"}, markPayload},
		"what a filter looked at":    {call{method: http.MethodGet, path: "/v1/events/parked/explain"}, markPayload},
		"bodies of a backtest":       {call{method: http.MethodPost, path: "/v1/endpoints/backtest", body: map[string]any{}}, markPayload},
		"bodies of another filter":   {call{method: http.MethodPost, path: "/v1/endpoints/" + id + "/backtest", body: map[string]any{"where": ""}}, markPayload},
	} {
		t.Run(name, func(t *testing.T) {
			c.key = adminKey
			require.Contains(t, string(b.do(t, c.call).is(http.StatusOK).Body), c.shows)
			c.key = blind
			got := b.do(t, c.call).is(http.StatusOK)
			require.Empty(t, marks(string(got.Body)), "%s", got.Body)
		})
	}
	t.Run("and what is hidden is said to be", func(t *testing.T) { //nolint:paralleltest // see above
		got := b.do(t, call{key: blind, method: http.MethodGet, path: event}).is(http.StatusOK)
		require.Equal(t, true, got.at("payload_hidden"))
		require.Equal(t, true, got.at("payload_exists"))
		require.Equal(t, true, got.at("attempts.0.response_hidden"))
		seen := b.get(t, event).is(http.StatusOK)
		require.Nil(t, seen.at("payload_hidden"))
		require.Nil(t, seen.at("attempts.0.response_hidden"))
		why := b.do(t, call{key: blind, method: http.MethodGet, path: "/v1/events/parked/explain"}).is(http.StatusOK)
		require.Contains(t, string(why.Body), `event.data.word == \"another\" is false`, "that, and by which filter, is no secret")
	})
	t.Run("a live tail", func(t *testing.T) { //nolint:paralleltest // see above
		for key, want := range map[string]bool{adminKey: true, blind: false} {
			f := follow(t, b, key, "", "")
			b.post(t, "/v1/endpoints/"+id+"/test", nil).is(http.StatusOK)
			name, data := f.next()
			require.Equal(t, "attempt", name)
			require.Equal(t, want, strings.Contains(data, markAnswer))
			f.close()
		}
	})
}

// TestNoOperationShowsAPayloadToOthers calls all that the document lists, so that a new operation
// is looked at too.
func TestNoOperationShowsAPayloadToOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := insertMarked(t, b)
	_, blind := b.key(t, "", "endpoints:write", "deliveries:write", "keys:write", "portal:write")
	b.do(t, call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/order.created", body: map[string]any{}}).is(http.StatusOK)
	values := map[string]string{"endpoints": id, "events": rowOfNone, "event-types": "order.created", "replays": "rp_1", "resends": "rs_1", "keys": "key_1"}
	bodies := map[string]any{
		"create-endpoint": map[string]any{"url": "https://a.example"}, "put-endpoint": map[string]any{"url": "https://a.example"}, "replace-endpoint": map[string]any{"url": "https://a.example"}, "update-endpoint": map[string]any{},
		"create-replay": map[string]any{"endpoint_id": id, "dry_run": true}, "create-key": map[string]any{"name": "k"}, "put-event-type": map[string]any{},
		"create-portal-link": map[string]any{"tenant": "acme"}, "backtest": map[string]any{}, "backtest-endpoint": map[string]any{"where": ""},
		"resend-deliveries": map[string]any{"all": true, "dry_run": true}, "discard-deliveries": map[string]any{"all": true, "dry_run": true},
	}
	looked := 0
	for template, methods := range b.paths {
		kind, _, _ := strings.Cut(strings.TrimPrefix(template, "/v1/"), "/")
		value := values[kind]
		for method, op := range methods {
			if method == "delete" {
				continue // its answer says that something is gone
			}
			path := strings.NewReplacer("{id}", value, "{name}", value).Replace(template)
			if op.OperationID == "put-endpoint" {
				path += "?name=n"
			}
			got := b.do(t, call{key: blind, method: strings.ToUpper(method), path: path, body: bodies[op.OperationID]})
			if op.OperationID == "create-portal-link" {
				require.Equal(t, http.StatusForbidden, got.Status, "who reads no payloads lets nobody read them")
				continue
			}
			require.NotContains(t, []int{http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusBadRequest}, got.Status, "%s is not looked at: %s", op.OperationID, got.Body)
			require.Empty(t, marks(string(got.Body)), "%s: %s", op.OperationID, got.Body)
			looked++
		}
	}
	require.Greater(t, looked, 30)
}

// TestExpressionsTellNobodyWhatIsInPayloads: whoever may try filters of their own on payloads reads
// them, one question at a time.
func TestExpressionsTellNobodyWhatIsInPayloads(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := insertMarked(t, b)
	_, blind := b.key(t, "", "endpoints:read", "deliveries:write")
	_, seeing := b.key(t, "", "endpoints:read", "deliveries:write", "payloads:read")
	_, writer := b.key(t, "", "endpoints:write", "deliveries:read")
	for _, path := range []string{"/v1/endpoints/backtest", "/v1/endpoints/" + id + "/backtest"} {
		for _, body := range []map[string]any{
			{"where": `event.data.word != ""`},
			{"body": "{ w = event.data.word }"},
			{"subscriptions": []any{map[string]any{"where": `event.data.word != ""`}}},
			{"subscriptions": []any{map[string]any{"body": "{ w = event.data.word }"}}},
		} {
			refused := b.do(t, call{key: blind, method: http.MethodPost, path: path, body: body}).is(http.StatusForbidden)
			require.Contains(t, refused.text("detail"), "payloads:read")
			b.do(t, call{key: seeing, method: http.MethodPost, path: path, body: body}).is(http.StatusOK)
			b.do(t, call{key: writer, method: http.MethodPost, path: path, body: body}).is(http.StatusOK)
		}
		b.do(t, call{key: blind, method: http.MethodPost, path: path, body: map[string]any{"events": []string{"order.*"}, "where": ""}}).is(http.StatusOK)
	}
}

// TestAnAnswerIsHiddenAgain: an answer that is kept for a request sent again is shown by what the
// key may by now.
func TestAnAnswerIsHiddenAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := insertMarked(t, b)
	again := call{key: adminKey, method: http.MethodPost, path: "/v1/endpoints/" + id + "/test", headers: http.Header{"Idempotency-Key": {"once"}}}
	first := b.do(t, again).is(http.StatusOK)
	require.Equal(t, markAnswer, first.at("response_body"))
	b.change(func(c *config.Config) { c.API.Keys[0].Scopes = []string{"endpoints:write"} })
	second := b.do(t, again).is(http.StatusOK)
	require.Equal(t, first.at("event_id"), second.at("event_id"))
	require.Empty(t, marks(string(second.Body)))
}

// TestRawPayloadsAreExact: a payload in a column of text comes back to the last space.
func TestRawPayloadsAreExact(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "ALTER TABLE public.outbox ALTER COLUMN payload TYPE json USING payload::text::json")
	const exact = "{ \"z\": 1.50,\n  \"a\": 12345678901234567890.10, \"é\": \"\\u00e9 <b>\", \"z\" : 1e2 }"
	b.exec(t, "INSERT INTO public.outbox (id, type, payload) VALUES ($1, 'order.created', $2)", rowOfNone, exact)
	got := b.get(t, "/v1/events/"+rowOfNone+"?raw=true").is(http.StatusOK)
	require.Equal(t, exact, got.at("payload_text")) //nolint:testifylint // to the last space
	require.Nil(t, got.at("payload"))
	require.NotNil(t, b.get(t, "/v1/events/"+rowOfNone).is(http.StatusOK).at("payload"))
}
