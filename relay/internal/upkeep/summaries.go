package upkeep

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

const (
	// summaryRows is how many attempts may be without a summary: every search reads them.
	summaryRows = 10_000
	// summaryPause is how long the next summary waits at least, and summaryPace, as a multiple of
	// what the last one took.
	summaryPause = 5 * time.Second
	summaryPace  = 20
)

// summaries has summaries of the attempts made as they become many. Where nothing is recorded it
// does nothing.
type summaries struct {
	summarize func(context.Context) error
	wake      Signal
	log       zerolog.Logger

	recorded int // since it was woken; the recorder's
}

func newSummaries(led *ledger.Ledger, log zerolog.Logger) *summaries {
	return &summaries{summarize: led.SummarizeAttempts, wake: NewSignal(), log: log}
}

func (s *summaries) task() Task { return Task{Name: "summaries", Wake: s.wake, Run: s.run} }

// committed counts the attempts of a batch. It belongs to the recorder's goroutine.
func (s *summaries) committed(attempts int) {
	if s.recorded += attempts; s.recorded >= summaryRows && s.wake.Set() {
		s.recorded = 0
	}
}

// run works until ctx is done.
func (s *summaries) run(ctx context.Context) {
	refused := false
	rest := pace.Rest{Times: summaryPace, Least: summaryPause}
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		err := s.summarize(ctx)
		switch {
		case err == nil, ctx.Err() != nil:
		case pglink.Is(err, pglink.InsufficientPrivilege) && !refused:
			refused = true
			s.log.Warn().Err(err).Msg("the relay's role may not summarise attempts, and searches among new ones are slow until a vacuum does: see the grants of `tailpost migrate --print`")
		default:
			s.log.Debug().Err(err).Msg("attempts are not summarised, trying again after more of them")
		}
		if rest.Wait(ctx, began) != nil {
			return
		}
	}
}
