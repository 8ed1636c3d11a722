package relay

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

const (
	// summaryRows is how many attempts may be without a summary: every search reads them.
	summaryRows = 10_000
	// summaryPause is how long the next summary waits at least, and summaryPace, as a multiple of what the last one took.
	summaryPause = 5 * time.Second
	summaryPace  = 20
)

// summarizer has summaries of the attempts made as they become many. Only the holder of the slot has one; where nothing is
// recorded it does nothing.
type summarizer struct {
	ledger *ledger.Ledger
	signal chan struct{} // capacity 1
	log    zerolog.Logger

	recorded int // since the last signal; the recorder's
}

func newSummarizer(led *ledger.Ledger, log zerolog.Logger) *summarizer {
	return &summarizer{ledger: led, signal: make(chan struct{}, 1), log: log}
}

// committed counts a batch. It belongs to the recorder's goroutine.
func (s *summarizer) committed(b *ledger.Batch) {
	if s.recorded += len(b.Attempts); s.recorded < summaryRows {
		return
	}
	select {
	case s.signal <- struct{}{}:
		s.recorded = 0
	default:
	}
}

// run works until ctx is done.
func (s *summarizer) run(ctx context.Context) {
	refused := false
	for {
		select {
		case <-s.signal:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		err := s.ledger.SummarizeAttempts(ctx)
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		switch {
		case err == nil, ctx.Err() != nil:
		case ok && pgErr.Code == "42501" && !refused:
			refused = true
			s.log.Warn().Err(err).Msg("the relay's role may not summarise attempts, and searches among new ones are slow until a vacuum does: see the grants of `tailpost migrate --print`")
		default:
			s.log.Debug().Err(err).Msg("attempts are not summarised, trying again after more of them")
		}
		wait(ctx, max(summaryPause, summaryPace*time.Since(began)))
	}
}
