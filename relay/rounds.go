package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

const (
	// What waits, or has failed to reach the database, is looked at again after roundPause, then less and less often.
	roundPause     = 200 * time.Millisecond
	roundPauseMost = 30 * time.Second
)

// open is something that a person asked for and that is not over.
type open struct {
	id string
	// step moves it by a page; false: it cannot go on now.
	step func(context.Context) (moved bool, err error)
}

// opened has step move each of what is not over.
func opened[T any](rows []T, id func(*T) string, step func(context.Context, *T) (bool, error)) []open {
	all := make([]open, len(rows))
	for i := range rows {
		all[i] = open{id: id(&rows[i]), step: func(ctx context.Context) (bool, error) { return step(ctx, &rows[i]) }}
	}
	return all
}

// rounds carries out what people asked for, a page of each in turn, so that a long one does not keep the others waiting. It
// belongs to one goroutine; wake may be called from any.
type rounds struct {
	what   string // that is carried out
	find   func(context.Context) ([]open, error)
	signal chan struct{} // capacity 1
	log    zerolog.Logger
}

func newRounds(what string, find func(context.Context) ([]open, error), log zerolog.Logger) *rounds {
	return &rounds{what: what, find: find, signal: make(chan struct{}, 1), log: log}
}

// wake has it look for what is new.
func (r *rounds) wake() {
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// run works until ctx is done or another relay is in charge.
func (r *rounds) run(ctx context.Context) {
	pause := backoff{least: roundPause, most: roundPauseMost}
	for ctx.Err() == nil {
		waiting, moved, err := r.round(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, ledger.ErrDeposed):
			return
		case err != nil:
			r.log.Warn().Err(err).Str("what", r.what).Msg("what was asked for waits, trying again")
		case moved:
			pause.reset()
			continue
		}
		if moved {
			pause.reset() // what cannot go on must not slow down what can
		}
		most := time.Duration(0)
		if waiting || err != nil {
			most = pause.next()
		}
		if r.woken(ctx, most) {
			pause.reset()
		}
	}
}

// woken waits for wake, if most is not zero no longer than that.
func (r *rounds) woken(ctx context.Context, most time.Duration) bool {
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	select {
	case <-ctx.Done():
		return false
	case <-r.signal:
		return true
	}
}

// round moves everything that may go on by a page. What fails does not keep the others from it.
func (r *rounds) round(ctx context.Context) (waiting, moved bool, err error) {
	all, err := r.find(ctx)
	if err != nil {
		return false, false, err
	}
	for _, o := range all {
		went, failure := o.step(ctx)
		switch {
		case errors.Is(failure, ledger.ErrDeposed):
			return true, false, failure
		case errors.Is(failure, ledger.ErrOver):
			went = true
		case failure != nil:
			err = errors.Join(err, fmt.Errorf("%s: %w", o.id, failure))
		}
		moved = moved || went
	}
	return len(all) > 0, moved, err
}
