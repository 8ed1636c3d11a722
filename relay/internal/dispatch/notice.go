package dispatch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// failingAfter is how many failures in a row make an endpoint a failing one where it has no circuit
// to open.
const failingAfter = 10

// notice is the data of an operational event.
type notice struct {
	Endpoint noticeEndpoint `json:"endpoint"`
	Event    *noticeEvent   `json:"event,omitempty"`
	Attempts int            `json:"attempts,omitempty"`
	Status   int            `json:"status_code,omitempty"`
	Error    string         `json:"error,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Since    *time.Time     `json:"failing_since,omitempty"`
	Disables *time.Time     `json:"disables_at,omitempty"`
	Tenant   string         `json:"tenant,omitempty"`
}

type noticeEndpoint struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type noticeEvent struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// emitted is an operational event in the form that outbox.DecodeEmitted reads.
type emitted struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Tenant    string    `json:"tenant,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Data      notice    `json:"data"`
}

// teller tells of one endpoint.
type teller struct {
	id      string
	policy  *policy
	routing *routing
	log     *zerolog.Logger
}

// notify adds what the outcome of an attempt has to tell to the item, so that it is emitted in the
// transaction that records the attempt; since is when the endpoint began to fail. An attempt to
// deliver an operational event has nothing to tell, or there would be no end to it; nor is anything
// emitted that nobody subscribes to.
func (t teller) notify(it *item, h *health, since, now time.Time) {
	ev := &it.dl.ev.Event
	disabled := it.change != nil && it.change.Status == ledger.StatusDisabled
	if ev.Operational() || it.attempt.Outcome == outbox.Delivered && !h.failing.notified && !disabled {
		return
	}
	n := notice{
		Endpoint: noticeEndpoint{ID: t.id, Name: t.policy.name}, Event: &noticeEvent{ID: ev.ID, Type: ev.Type},
		Attempts: it.attempt.Number, Status: it.attempt.StatusCode, Error: it.attempt.Error, Tenant: t.policy.tenant,
	}
	if it.attempt.Outcome == outbox.Dead {
		failed := n
		failed.Reason = string(it.reason)
		t.tell(it, outbox.TypeFailed, failed, now)
	}
	if !since.IsZero() {
		began := since.UTC()
		n.Since = &began
	}
	switch {
	case it.attempt.Outcome == outbox.Delivered && h.failing.notified:
		h.failing.notified = false
		t.tell(it, outbox.TypeRecovered, n, now)
	case it.attempt.Outcome != outbox.Delivered && h.persists(t.policy.circuit.Failures) && !h.failing.notified:
		h.failing.notified = true
		t.tell(it, outbox.TypeFailing, n, now)
	}
	if it.attempt.Outcome != outbox.Delivered && h.warned(t.policy.disableAfter, now) {
		at := h.failing.since.Add(t.policy.disableAfter).UTC()
		warning := n
		warning.Disables = &at
		t.tell(it, outbox.TypeDisabling, warning, now)
	}
	if disabled {
		n.Reason = it.change.DisabledReason
		t.tell(it, outbox.TypeDisabled, n, now)
	}
}

// lapsed adds to an item that its event expired.
func (t teller) lapsed(it *item, now time.Time) {
	ev := &it.dl.ev.Event
	if ev.Operational() {
		return
	}
	t.tell(it, outbox.TypeFailed, notice{
		Endpoint: noticeEndpoint{ID: t.id, Name: t.policy.name}, Event: &noticeEvent{ID: ev.ID, Type: ev.Type},
		Attempts: it.attempt.Number, Error: it.attempt.Error, Reason: string(it.reason), Tenant: t.policy.tenant,
	}, now)
}

// tell adds an operational event. Its tenant is that of the endpoint that it is about: an endpoint
// of every tenant is its operator's business, whoever the event was for.
func (t teller) tell(it *item, eventType string, n notice, now time.Time) {
	op := outbox.Event{ID: outbox.OperationalID, Type: eventType, Tenant: t.policy.tenant}
	if len(t.routing.table.Wanting(nil, &op)) == 0 {
		return
	}
	// The same attempt has the same id, whoever tells of it.
	sum := sha256.Sum256([]byte(eventType + "\x00" + t.id + "\x00" + n.Event.ID + "\x00" + strconv.Itoa(n.Attempts) +
		"\x00" + it.attempt.AttemptedAt.UTC().Format(time.RFC3339Nano)))
	const idBytes = 16
	content, err := json.Marshal(struct {
		Event emitted `json:"event"`
	}{emitted{
		ID: outbox.OperationalID + hex.EncodeToString(sum[:idBytes]), Type: eventType, Tenant: t.policy.tenant, CreatedAt: now.UTC(), Data: n,
	}})
	if err != nil {
		// Nothing that is encoded can fail to be; the attempt is recorded all the same.
		t.log.Error().Err(err).Str("endpoint", t.id).Str("type", eventType).Msg("operational event not encoded")
		return
	}
	it.notices = append(it.notices, content)
}
