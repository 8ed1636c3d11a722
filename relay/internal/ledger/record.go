package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// Record writes b in one transaction and returns nil once that is committed. The Hold must be the last one that Take gave.
// A batch without rows whose frontier has not moved is not written at all.
//
// Record rides out what passes: lost connections (it then finds out whether the commit took effect), a server that
// restarts, locks, a full disk, days without a partition. It returns ErrDeposed if the relay no longer holds the slot, a
// *RefusedError if Postgres will never take the batch, and the cause of ctx's end if that comes first; then every further
// Record returns ErrUncertain until Take.
func (l *Ledger) Record(ctx context.Context, hold Hold, b *Batch) error {
	r := &l.recording
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.epoch == 0 || r.slot != hold.Slot || r.epoch != hold.Epoch:
		return ErrDeposed
	case r.uncertain:
		return ErrUncertain
	case !b.rows() && b.Settled <= r.settled:
		return nil
	case ctx.Err() != nil:
		return interrupted(ctx, "record a batch")
	}
	e := &entry{Batch: b, slot: r.slot, epoch: r.epoch, batch: r.batch, now: b.Now}
	if e.now.IsZero() {
		e.now = time.Now()
	}
	err := l.commit(ctx, e)
	switch {
	case err == nil:
		r.batch++
		r.settled = max(r.settled, b.Settled)
	case errors.Is(err, ErrDeposed):
		r.epoch = 0
	}
	return err
}

// commit runs e until it is committed or never will be.
func (l *Ledger) commit(ctx context.Context, e *entry) error {
	t := try{entry: e}
	for {
		err := l.runOnce(ctx, &t)
		switch {
		case err == nil || errors.Is(err, errCommitted):
			l.recording.uncertain = false
			return nil
		case errors.Is(err, ErrDeposed):
			return err
		}
		if err := l.mend(ctx, &t, err); err != nil {
			return err
		}
	}
}

// try is the state of a commit.
type try struct {
	*entry

	delay  backoff
	mended bool // the missing partitions were made
	// astray says that a pipeline was lost with its connection. The server may commit it at any later time, as long as no
	// other has taken its place in the row.
	astray bool
	look   bool // the row must be read before the next run
}

// errCommitted says that a batch whose connection was lost is committed.
var errCommitted = errors.New("committed")

// runOnce runs the pipeline, after it has looked at the row where it must.
func (l *Ledger) runOnce(ctx context.Context, t *try) error {
	r := &l.recording
	if r.session == nil {
		session, err := openSession(ctx, l.config)
		if err != nil {
			return err
		}
		r.use(session)
		t.look = true
	}
	if t.look {
		if err := l.whereabouts(ctx, t); err != nil {
			return err
		}
		t.look = false
	}
	r.uncertain = true
	err := r.session.run(ctx, t.entry)
	switch {
	case err == nil:
	case judge(err) == lost:
		t.astray = true
	case !t.astray:
		r.uncertain = false // the server says that it rolled back, and nothing else is under way
	}
	return err
}

// whereabouts reads how far the slot's row is: nil where t is the next batch, errCommitted or ErrDeposed.
func (l *Ledger) whereabouts(ctx context.Context, t *try) error {
	epoch, batch, err := l.recording.session.position(ctx, t.slot)
	switch {
	case err != nil:
		return err
	case epoch != t.epoch:
		return ErrDeposed
	case t.astray && batch == t.batch+1:
		return errCommitted
	case batch != t.batch:
		return fmt.Errorf("%w: its row is at batch %d instead of %d", ErrDeposed, batch, t.batch)
	}
	return nil
}

// mend does what lets t run again after err; it returns an error where nothing does.
func (l *Ledger) mend(ctx context.Context, t *try, err error) error {
	switch judge(err) {
	case lost:
		return l.loseSession(ctx, err, &t.delay)
	case notHeld:
		if !t.astray {
			return ErrDeposed
		}
		// The lost pipeline may have been committed between the look at the row and the guard, which waited for it.
		t.look = true
		return nil
	case noPartition:
		if t.mended {
			return refuse(err)
		}
		t.mended = true
		return l.addDays(ctx, t.Attempts)
	case transient:
		l.options.Logger.Warn().Err(err).Msg("recording waits for the database")
		if t.delay.wait(ctx) != nil {
			return interrupted(ctx, "record a batch")
		}
		return nil
	case refused:
	}
	return refuse(err)
}

// loseSession drops the session and waits a little, but not before the first try to come back.
func (l *Ledger) loseSession(ctx context.Context, err error, delay *backoff) error {
	r := &l.recording
	had := r.session != nil
	if had {
		r.drop(ctx)
	}
	if ctx.Err() != nil {
		return interrupted(ctx, "record a batch")
	}
	if had {
		l.lose(err)
		return nil
	}
	l.options.Logger.Warn().Err(describe(err)).Msg("waiting for the database")
	if delay.wait(ctx) != nil {
		return interrupted(ctx, "record a batch")
	}
	return nil
}

// addDays makes the partitions that attempts need.
func (l *Ledger) addDays(ctx context.Context, attempts []outbox.Attempt) error {
	seen := make(map[int64]struct{})
	for i := range attempts {
		day := dayOf(attempts[i].AttemptedAt)
		if _, ok := seen[day.Unix()]; ok {
			continue
		}
		seen[day.Unix()] = struct{}{}
		if err := l.ensureDays(ctx, day, 1); err != nil {
			return err
		}
	}
	return nil
}

func refuse(err error) error {
	refusal := &RefusedError{Err: describe(err)}
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		refusal.Code = coded.SQLState()
	}
	return refusal
}
