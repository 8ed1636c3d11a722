package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

const noticeData = `{"endpoint":{"id":"ep_1","name":"A <b> & C"},"event":{"id":"evt_7","type":"order.paid"},"attempts":4,
	"status_code":503,"failing_since":"2026-03-14T08:00:00Z","disables_at":"2026-03-19T08:00:00Z","tenant":"acme"}`

func withPayload(eventType, payload string) *webhook.Request {
	r := newRequest()
	r.Event.Type, r.Event.Payload = eventType, []byte(payload)
	return r
}

func operational(eventType string) *webhook.Request {
	r := withPayload(eventType, noticeData)
	r.Event.ID = "op_1"
	return r
}

func TestOperationalEventsAreSaidToPeople(t *testing.T) {
	t.Parallel()
	got := deliver(t, operational(outbox.TypeDisabling), formatted(config.FormatSlack))
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.JSONEq(t, `{"text": "*Endpoint A &lt;b&gt; &amp; C will be disabled unless it takes an event*\nEndpoint: ep_1\nTenant: acme\nEvent: order.paid evt_7\nAttempt: 4\nLast answer: status 503\nFailing since: 2026-03-14T08:00:00Z\nDisabled at: 2026-03-19T08:00:00Z"}`, string(got.body))
	got = deliver(t, operational(outbox.TypeDisabling), formatted(config.FormatTeams))
	require.JSONEq(t, `{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": {
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": [
			{"type": "TextBlock", "text": "Endpoint A <b> & C will be disabled unless it takes an event", "weight": "Bolder", "wrap": true},
			{"type": "FactSet", "facts": [
				{"title": "Endpoint", "value": "ep_1"}, {"title": "Tenant", "value": "acme"}, {"title": "Event", "value": "order.paid evt_7"},
				{"title": "Attempt", "value": "4"}, {"title": "Last answer", "value": "status 503"},
				{"title": "Failing since", "value": "2026-03-14T08:00:00Z"}, {"title": "Disabled at", "value": "2026-03-19T08:00:00Z"}]}]}}]}`, string(got.body))
	nameless := withPayload(outbox.TypeFailing, `{"endpoint":{"id":"ep_1"}}`)
	nameless.Event.ID = "op_2"
	require.JSONEq(t, `{"text": "*Endpoint ep_1 is failing*\nEndpoint: ep_1"}`, string(deliver(t, nameless, formatted(config.FormatSlack)).body))
	seen := make(map[string]bool)
	for _, eventType := range []string{outbox.TypeFailed, outbox.TypeFailing, outbox.TypeRecovered, outbox.TypeDisabled, outbox.TypeDisabling} {
		body := string(deliver(t, operational(eventType), formatted(config.FormatSlack)).body)
		require.Contains(t, body, "A &lt;b&gt; &amp; C")
		require.NotContains(t, body, "webhook.", "said in words")
		seen[body] = true
	}
	require.Len(t, seen, 5, "each in its own words")
}

// What is in an application's event is not for a channel of people.
func TestPeopleSeeNoPayload(t *testing.T) {
	t.Parallel()
	for _, format := range []config.Format{config.FormatSlack, config.FormatTeams} {
		r := withPayload("webhook.test", `{"card": "4242"}`)
		body := string(deliver(t, r, formatted(format)).body)
		require.Contains(t, body, "Event webhook.test")
		require.NotContains(t, body, "4242")
	}
}
