package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/hangup"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// Record writes b in one transaction and returns nil once that is committed. The Hold must be the
// last one that Take gave. A batch without rows whose frontier has not moved is not written at all.
//
// Record rides out what passes: lost connections (it then finds out whether the commit took
// effect), a server that restarts, locks, a full disk, days without a partition. It also waits
// until somebody mends what makes Postgres refuse the batch, such as a right that was revoked:
// whoever took the slot anew instead would send everything that is not recorded again, at every
// try. It returns ErrDeposed if the relay no longer holds the slot, and the cause of ctx's end if
// that comes first; then every further Record returns ErrUncertain until Take.
func (l *Ledger) Record(ctx context.Context, hold Hold, b *Batch) error {
	return l.recording.record(ctx, hold, b)
}

// recorder is the state of Record.
type recorder struct {
	address *address
	setup   pglink.Session
	log     zerolog.Logger
	lost    func(error) // told of each loss; see Options.Disconnected
	days    *Partitions
	line    atomic.Pointer[hangup.Line] // of the session, or of the last one
	waits   atomic.Pointer[time.Time]   // since when a batch waits to be tried again; nil: none does

	mu      sync.Mutex
	session *session // nil: to be made
	worked  bool     // something was committed since the last loss
	pause   pace.Backoff
	slot    string
	epoch   int64 // 0: no hold
	batch   int64 // batches of this epoch that are committed
	settled outbox.LSN
	// released is how far a frontier that passes WAL without events needs no record.
	released outbox.LSN
	place    place // where the slot's row was left; zero: to be looked for
	// uncertain says that batch may be one behind.
	uncertain bool
}

func (r *recorder) record(ctx context.Context, hold Hold, b *Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.epoch == 0 || r.slot != hold.Slot || r.epoch != hold.Epoch:
		return ErrDeposed
	case r.uncertain:
		return ErrUncertain
	case !b.rows() && b.Settled <= r.settled && (b.Passing || r.released <= r.settled):
		return nil
	case b.Passing && b.Settled <= r.released:
		return nil
	case ctx.Err() != nil:
		return interrupted(ctx, "record a batch")
	}
	e := &entry{Batch: b, slot: r.slot, epoch: r.epoch, batch: r.batch, place: r.place, now: b.Now, released: r.release(b)}
	if e.now.IsZero() {
		e.now = time.Now()
	}
	err := r.commit(ctx, e)
	r.waits.Store(nil)
	switch {
	case err == nil:
		r.batch, r.place = r.batch+1, e.place
		r.settled, r.released = max(r.settled, b.Settled), e.released
	case errors.Is(err, ErrDeposed):
		r.epoch = 0
	}
	return err
}

// releasedAhead is how much WAL without events is let go of without a record.
const releasedAhead = 64 << 20

// release returns how far the slot may stand from a batch on. One with the frontier alone is the
// last of a hold: whoever finds the slot beyond it knows that somebody else has moved it.
func (r *recorder) release(b *Batch) outbox.LSN {
	settled := max(r.settled, b.Settled)
	switch {
	case !b.rows() && !b.Passing:
		return settled
	case settled+releasedAhead/2 > r.released:
		return settled + releasedAhead
	}
	return r.released
}

// commit runs e until it is committed or another relay is in charge.
func (r *recorder) commit(ctx context.Context, e *entry) error {
	t := try{entry: e, look: e.place == place{}}
	for {
		err := r.runOnce(ctx, &t)
		switch {
		case err == nil || errors.Is(err, errCommitted):
			r.uncertain, r.worked = false, true
			r.pause.Reset()
			return nil
		case errors.Is(err, ErrDeposed):
			return err
		}
		if err := r.mend(ctx, &t, err); err != nil {
			return err
		}
	}
}

// mostMissed is how often the row is looked for without a pause.
const mostMissed = 3

// try is the state of a commit.
type try struct {
	*entry

	mended bool // the missing partitions were made, and no refusal has been waited out since
	missed int  // how often the row was not where it should be
	// inDoubt says that a pipeline was lost with its connection. The server may commit it at any
	// later time, as long as no other has taken its place in the row.
	inDoubt bool
	look    bool // the row must be read before the next run
}

// errCommitted says that a batch whose connection was lost is committed.
var errCommitted = errors.New("committed")

// runOnce runs the pipeline, after it has looked at the row where it must.
func (r *recorder) runOnce(ctx context.Context, t *try) error {
	if r.session == nil {
		session, err := openSession(ctx, r.address, r.setup)
		if err != nil {
			return err
		}
		r.use(session)
		t.look = true
	}
	if t.look {
		if err := r.whereabouts(ctx, t); err != nil {
			return err
		}
		t.look = false
	}
	r.uncertain = true
	at, err := r.session.run(ctx, t.entry)
	switch {
	case err == nil:
		t.place = at
	case judge(err) == lost:
		t.inDoubt = true
	case !t.inDoubt:
		r.uncertain = false // the server says that it rolled back, and nothing else is under way
	}
	return err
}

// whereabouts reads where the slot's row is and how far: nil where t is the next batch,
// errCommitted or ErrDeposed.
func (r *recorder) whereabouts(ctx context.Context, t *try) error {
	p, err := r.session.position(ctx, t.slot)
	switch {
	case err != nil:
		return err
	case p.epoch != t.epoch:
		return ErrDeposed
	}
	t.place = p.at
	switch {
	case t.inDoubt && p.batch == t.batch+1:
		return errCommitted
	case p.batch != t.batch:
		return fmt.Errorf("%w: its row is at batch %d instead of %d", ErrDeposed, p.batch, t.batch)
	}
	return nil
}

// mend does what lets t run again after err; it returns an error where nothing does.
func (r *recorder) mend(ctx context.Context, t *try, err error) error {
	switch judge(err) {
	case lost:
		return r.loseSession(ctx, err)
	case notHeld:
		// Another relay has taken the slot; or somebody else has changed the row, so that it is
		// elsewhere now; or a lost pipeline was committed between the look at the row and the
		// guard, which waited for it. The row tells.
		t.look = true
		if t.missed++; t.missed > mostMissed {
			return r.rest(ctx)
		}
		return nil
	case noPartition:
		if !t.mended {
			t.mended = true
			if err = r.addDays(ctx, t.Attempts); err == nil {
				return nil
			}
		}
		t.mended = false
	case transient:
		r.log.Warn().Err(err).Msg("recording waits for the database")
		return r.rest(ctx)
	case refused:
	}
	r.log.Error().Err(pglink.Describe(err)).
		Msg("Postgres refuses what is to be recorded, and delivery waits until that is mended: tailpost doctor may say how")
	return r.rest(ctx)
}

// rest makes the pause before the next try.
func (r *recorder) rest(ctx context.Context) error {
	if now := time.Now(); r.waits.Load() == nil {
		r.waits.Store(&now)
	}
	if r.pause.Wait(ctx) != nil {
		return interrupted(ctx, "record a batch")
	}
	return nil
}

// loseSession drops the session and waits before the next try, longer and longer; not after the
// first loss of one that worked.
func (r *recorder) loseSession(ctx context.Context, err error) error {
	had, worked := r.session != nil, r.worked
	r.worked = false
	if had {
		r.drop(ctx)
	}
	if ctx.Err() != nil {
		return interrupted(ctx, "record a batch")
	}
	if had {
		r.lost(err)
		if worked {
			return nil
		}
	}
	r.log.Warn().Err(pglink.Describe(err)).Msg("recording waits for the database")
	return r.rest(ctx)
}

// addDays makes the partitions that attempts need.
func (r *recorder) addDays(ctx context.Context, attempts []outbox.Attempt) error {
	seen := make(map[int64]struct{})
	for i := range attempts {
		day := dayOf(attempts[i].AttemptedAt)
		if _, ok := seen[day.Unix()]; ok {
			continue
		}
		seen[day.Unix()] = struct{}{}
		if err := r.days.ensure(ctx, day, 1); err != nil {
			return err
		}
	}
	return nil
}

// check makes the session again if its connection is lost. A relay that stood by has not used it
// since, and its loss, found out by the first record, would end the hold that has just begun.
func (r *recorder) check(ctx context.Context, slot string) error {
	if r.session != nil {
		within, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		if _, err := r.session.position(within, slot); err == nil {
			return nil
		}
		r.drop(ctx)
	}
	return r.open(ctx)
}

// open makes the session.
func (r *recorder) open(ctx context.Context) error {
	s, err := openSession(ctx, r.address, r.setup)
	if err != nil {
		return pglink.Describe(err)
	}
	r.use(s)
	return nil
}

// use takes a new session.
func (r *recorder) use(s *session) {
	r.session = s
	r.line.Store(s.line)
}

// drop gives up the session. Its hangup stays, to be found down until there is another session.
func (r *recorder) drop(ctx context.Context) {
	r.session.close(ctx)
	r.session = nil
}
