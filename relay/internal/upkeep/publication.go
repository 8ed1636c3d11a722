package upkeep

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// watchInterval is how long after a change of the database the publication is looked at, at the
// latest.
const watchInterval = 5 * time.Second

// ErrPublicationChanged ends a hold: the stream is set up again, and the audit looks for what it
// has missed.
var ErrPublicationChanged = errors.New("a publication, the outbox table or the server's synchronous standbys changed")

// publication notices that a publication, the outbox table or the synchronous standbys are no
// longer what the stream was set up with. Postgres says so only in some versions, and only once a
// row comes. Nobody minds such a change while no WAL is written, so that nothing is looked at then.
type publication struct {
	identity string
	look     func(context.Context) (identity string, err error)
	end      func(error)
	wake     Signal
	log      zerolog.Logger

	last  source.Position // owned by the source's goroutine
	dirty atomic.Bool     // WAL was written since the last look
}

func newPublication(o *Options) *publication {
	led, slot, mapping := o.Ledger, o.Hold.Slot, o.Outbox.Mapping
	return &publication{
		identity: identityOf(o.Publication, o.Endpoints, o.Standbys), end: o.End, wake: NewSignal(), log: o.Logger,
		look: func(ctx context.Context) (string, error) {
			events, endpoints, err := led.Publications(ctx, slot, mapping)
			if err != nil {
				return "", err
			}
			standbys, err := led.Standbys(ctx)
			return identityOf(events, endpoints, standbys), err
		},
	}
}

// identityOf is that of all that a stream is set up with.
func identityOf(events, endpoints, standbys string) string {
	return strings.Join([]string{events, endpoints, standbys}, " ")
}

func (w *publication) task() Task { return Task{Name: "publication watch", Wake: w.wake, Run: w.run} }

// moved notes how far the source has come. It belongs to the source's goroutine.
func (w *publication) moved(p source.Position) {
	if p <= w.last {
		return
	}
	w.last = p
	if !w.dirty.Load() && !w.dirty.Swap(true) {
		w.wake.Set()
	}
}

// run looks at the publication until ctx is done or it is another one, which ends the hold.
func (w *publication) run(ctx context.Context) {
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		if pace.Wait(ctx, watchInterval) != nil {
			return
		}
		// Cleared before the look: what is written from here on brings another one.
		w.dirty.Store(false)
		identity, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.log.Warn().Err(err).Msg("check of the publication failed, trying again")
			w.wake.Set()
		case identity != w.identity:
			w.end(ErrPublicationChanged)
			return
		}
	}
}
