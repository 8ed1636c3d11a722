package postgres

import (
	"encoding/json"
	"fmt"
)

// ownPrefix is the prefix of Tailpost's own logical messages.
const ownPrefix = "tailpost"

// envelope is the content of a logical message of our own: an object whose one key says what it is.
type envelope struct {
	// Mark is the name of a barrier, see source.Barriers.
	Mark string `json:"mark,omitempty"`
	// Event is an operational event, in the form of outbox.DecodeEmitted.
	Event json.RawMessage `json:"event,omitempty"`
	// Due says that somebody changed rows of tailpost.delivery, or asked for a replay or a resend.
	Due *due `json:"due,omitempty"`
}

// due names whose deliveries to look at.
type due struct {
	Endpoint string `json:"endpoint"` // empty: none in particular
}

// BarrierMessage returns the content of the logical message that is a barrier.
func BarrierMessage(name string) (string, error) {
	content, err := json.Marshal(envelope{Mark: name})
	if err != nil {
		return "", fmt.Errorf("encode barrier %q: %w", name, err)
	}
	return string(content), nil
}

// DueMessage returns the content of the logical message that says that rows of an endpoint's
// deliveries were changed.
func DueMessage(endpoint string) (string, error) {
	content, err := json.Marshal(envelope{Due: &due{Endpoint: endpoint}})
	if err != nil {
		return "", fmt.Errorf("encode what is due: %w", err)
	}
	return string(content), nil
}
