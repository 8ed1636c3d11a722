package upkeep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

const (
	// What waits, or has failed to reach the database, is looked at again after operationPause,
	// then less and less often.
	operationPause     = 200 * time.Millisecond
	operationPauseMost = 30 * time.Second
)

// operation is something that a person asked for and that is not over: a replay, or a resend of
// many.
type operation struct {
	id string
	// step moves it by a page; false: it cannot go on now.
	step func(context.Context) (moved bool, err error)
}

// operationsOf returns an operation for each row, which step moves.
func operationsOf[T any](rows []T, id func(*T) string, step func(context.Context, *T) (bool, error)) []operation {
	all := make([]operation, len(rows))
	for i := range rows {
		all[i] = operation{id: id(&rows[i]), step: func(ctx context.Context) (bool, error) { return step(ctx, &rows[i]) }}
	}
	return all
}

// operations carries out what people asked for, a page of each in turn, so that a long one does not
// keep the others waiting. It belongs to one goroutine.
type operations struct {
	what string // they are: replays, resends
	wake Signal // there may be new ones
	find func(context.Context) ([]operation, error)
	log  zerolog.Logger
}

// run works until ctx is done or another relay is in charge.
func (o *operations) run(ctx context.Context) {
	pause := pace.Backoff{Least: operationPause, Most: operationPauseMost}
	for ctx.Err() == nil {
		waiting, moved, err := o.round(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, ledger.ErrDeposed):
			return
		case err != nil:
			o.log.Warn().Err(err).Str("what", o.what).Msg("replays or resends interrupted, trying again")
		case moved:
			pause.Reset()
			continue
		}
		if moved {
			pause.Reset() // what cannot go on must not slow down what can
		}
		most := time.Duration(0)
		if waiting || err != nil {
			most = pause.Next()
		}
		if o.woken(ctx, most) {
			pause.Reset()
		}
	}
}

// woken waits for wake, if most is not zero no longer than that.
func (o *operations) woken(ctx context.Context, most time.Duration) bool {
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	select {
	case <-ctx.Done():
		return false
	case <-o.wake:
		return true
	}
}

// round moves everything that may go on by a page. What fails does not keep the others from it.
func (o *operations) round(ctx context.Context) (waiting, moved bool, err error) {
	all, err := o.find(ctx)
	if err != nil {
		return false, false, err
	}
	for _, op := range all {
		went, failure := op.step(ctx)
		switch {
		case errors.Is(failure, ledger.ErrDeposed):
			return true, false, failure
		case errors.Is(failure, ledger.ErrOver):
			went = true
		case failure != nil:
			went = false // or it would be tried again and again without longer pauses
			err = errors.Join(err, fmt.Errorf("%s: %w", op.id, failure))
		}
		moved = moved || went
	}
	return len(all) > 0, moved, err
}
