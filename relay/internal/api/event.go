package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/tailpost/tailpost/relay/internal/query"
)

// Event is an event with what became of it.
type Event struct {
	ID            string            `json:"id"`
	Type          string            `json:"type"`
	Key           string            `json:"key,omitempty"`
	Tenant        string            `json:"tenant,omitempty"`
	Headers       map[string]string `json:"headers,omitempty" doc:"Only for keys with payloads:read."`
	Extra         any               `json:"extra,omitempty" doc:"The extra columns by their names, an object. Only for keys with payloads:read."`
	ExtraText     string            `json:"extra_text,omitempty" doc:"In place of extra, where raw was asked for: its text, to the last digit."`
	CreatedAt     *time.Time        `json:"created_at,omitempty"`
	DeliverAt     *time.Time        `json:"deliver_at,omitempty" doc:"It is not to be delivered before; missing: at once, or not known any more."`
	ExpiresAt     *time.Time        `json:"expires_at,omitempty" doc:"It is not to be delivered from then on; missing: it never expires, or that is not known any more."`
	CommitLSN     string            `json:"commit_lsn,omitempty"`
	PayloadExists bool              `json:"payload_exists" doc:"Whether the outbox row, or an unfinished delivery, still has the payload. Without it the event cannot be replayed."`
	Payload       any               `json:"payload,omitempty" doc:"The payload, where it is JSON."`
	PayloadText   string            `json:"payload_text,omitempty" doc:"The payload as it is, to the last space, where it is text but no JSON, or raw was asked for."`
	PayloadBase64 string            `json:"payload_base64,omitempty" doc:"The payload, where it is neither."`
	PayloadHidden bool              `json:"payload_hidden,omitempty" doc:"The key lacks payloads:read: payload and headers are not shown."`
	Deliveries    []Delivery        `json:"deliveries" nullable:"false" doc:"Those that are not made yet."`
	Attempts      []Attempt         `json:"attempts" nullable:"false" doc:"The newest 250, newest first."`
	MoreAttempts  bool              `json:"more_attempts" doc:"There are older ones: list the attempts of the event."`
}

type getEventInput struct {
	ID  string `path:"id" maxLength:"1000" doc:"Id of the event."`
	Raw bool   `query:"raw" doc:"Answer with the text of a JSON payload, in payload_text, in place of the document: white space, digits and the order of keys are as they were written."`
}

type eventOutput struct {
	Body Event
}

func getEvent(ctx context.Context, s *Server, p *principal, in *getEventInput) (*eventOutput, error) {
	found, err := s.store.Event(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &eventOutput{Body: showEvent(p, in, &found)}, nil
}

func showEvent(p *principal, in *getEventInput, found *query.Event) Event {
	ev := &found.Event
	shown := Event{
		ID: in.ID, Type: ev.Type, Key: ev.Key, Tenant: ev.Tenant, Headers: ev.Headers, PayloadExists: found.HasRow,
		Deliveries: make([]Delivery, 0, len(found.Deliveries)), Attempts: showAttempts(p, found.Attempts),
		MoreAttempts: found.More != nil, CreatedAt: writable(ev.CreatedAt), DeliverAt: writable(ev.DeliverAt), ExpiresAt: writable(ev.ExpiresAt),
	}
	switch {
	case ev.Extra == nil:
	case in.Raw:
		shown.ExtraText = string(ev.Extra)
	default:
		shown.Extra = ev.Extra
	}
	if ev.CommitLSN != 0 {
		shown.CommitLSN = ev.CommitLSN.String()
	}
	for i := range found.Deliveries {
		shown.Deliveries = append(shown.Deliveries, showDelivery(p, &found.Deliveries[i]))
	}
	switch payload := ev.Payload; {
	case !p.readsPayloads():
		shown.Headers, shown.Extra, shown.ExtraText, shown.PayloadHidden = nil, nil, "", true
	case !found.HasRow || payload == nil:
	case json.Valid(payload) && !in.Raw:
		shown.Payload = payload
	case utf8.Valid(payload):
		shown.PayloadText = string(payload)
	default:
		shown.PayloadBase64 = base64.StdEncoding.EncodeToString(payload)
	}
	return shown
}
