package relay

import "encoding/json"

// ownPrefix is the prefix of Tailpost's own logical messages.
const ownPrefix = "tailpost"

// envelope is the content of a logical message of our own: an object whose one key says what it is.
type envelope struct {
	// Mark is a mark of the audit, see marks.
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
