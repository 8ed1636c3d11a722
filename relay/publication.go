package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// watchInterval is how long after a change of the database the publication is looked at, at the latest.
const watchInterval = 5 * time.Second

// publicationWatch notices that the publication or the outbox table is no longer what the stream was set up with. Postgres
// says so only in some versions, and only once a row comes. Such a change writes WAL, so that nothing is looked at while
// none is written.
type publicationWatch struct {
	ledger   *ledger.Ledger
	cfg      *config.Config
	identity string
	end      func(error)
	log      zerolog.Logger

	last   outbox.LSN    // owned by the stream's goroutine
	dirty  atomic.Bool   // WAL was written since the last look
	signal chan struct{} // capacity 1
}

func newPublicationWatch(led *ledger.Ledger, cfg *config.Config, identity string, end func(error), log zerolog.Logger) *publicationWatch {
	return &publicationWatch{ledger: led, cfg: cfg, identity: identity, end: end, log: log, signal: make(chan struct{}, 1)}
}

// moved takes in how far the server has come. It belongs to the stream's goroutine.
func (w *publicationWatch) moved(lsn outbox.LSN) {
	if lsn <= w.last {
		return
	}
	w.last = lsn
	if !w.dirty.Load() && !w.dirty.Swap(true) {
		select {
		case w.signal <- struct{}{}:
		default:
		}
	}
}

// run looks at the publication until ctx is done or it is another one, which ends the hold.
func (w *publicationWatch) run(ctx context.Context) {
	for {
		select {
		case <-w.signal:
		case <-ctx.Done():
			return
		}
		wait(ctx, watchInterval)
		w.dirty.Store(false)
		identity, err := w.ledger.Publication(ctx, w.cfg.Database.Slot, w.cfg.Outbox.Mapping)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !errors.Is(err, context.Canceled):
			w.log.Warn().Err(err).Msg("publication not looked at, trying again")
		case identity != w.identity:
			w.end(errPublicationChanged)
			return
		}
	}
}
