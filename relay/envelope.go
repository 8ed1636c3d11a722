package relay

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
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

// barriers returns the barriers of a hold, which go through the slot as logical messages of our own.
func barriers(led *ledger.Ledger, epoch int64) *source.Barriers {
	return source.NewBarriers(epoch, func(ctx context.Context, name string) error {
		content, err := json.Marshal(envelope{Mark: name})
		if err != nil {
			return fmt.Errorf("encode a barrier: %w", err)
		}
		return led.Mark(ctx, string(content))
	})
}
