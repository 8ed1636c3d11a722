package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/outbox/pglink"
)

var (
	// ErrDeposed says that this relay no longer holds the slot: another one took it, or the
	// database went back to a state before this relay's last batch. Nothing is recorded any more.
	ErrDeposed = errors.New("deposed: another relay holds the slot")
	// ErrUncertain says that an earlier Record was interrupted by its context, so that nobody knows
	// whether it took effect. Take starts afresh, and Recorded then tells.
	ErrUncertain = errors.New("the outcome of an interrupted batch is unknown: take the slot again")
	// ErrNotPublished says that the slot's holder does not publish to a partition as it is asked
	// for: it delivers itself, publishes to another number of partitions, or has just come to
	// another cluster. It may do so later.
	ErrNotPublished = errors.New("the slot's holder publishes to another number of partitions, to none, or has other endpoints: give all relays " +
		"the same configuration")
)

// verdict says what an error means for recording.
type verdict int

const (
	refused     verdict = iota // it will fail again until somebody mends that
	lost                       // the connection is gone or useless, what it ran last may have taken effect
	transient                  // it took no effect and may well succeed later
	noPartition                // tailpost.attempt lacks a day
	notHeld                    // the guard found another epoch or batch
)

func judge(err error) verdict {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && pgErr.Code == pglink.DivisionByZero:
		return notHeld
	case ok && pgErr.Code == pglink.CheckViolation && pgErr.ConstraintName == "" && pgErr.TableName == "attempt":
		// Missing partitions share the code with violated constraints, but name none.
		return noPartition
	}
	switch pglink.Judge(err) {
	case pglink.Lost:
		return lost
	case pglink.Transient:
		return transient
	case pglink.Refused:
	}
	return refused
}

// interrupted says that ctx ended what.
func interrupted(ctx context.Context, what string) error {
	return fmt.Errorf("%s: %w", what, context.Cause(ctx))
}
