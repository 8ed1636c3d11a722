package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/lease"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

// surveyEvery is how often a sender looks at who owns what.
const surveyEvery = time.Second

// errGivenBack ends the hold of a partition that another sender is to have. It drains as at a stop.
var errGivenBack = fmt.Errorf("the partition is given back: %w", context.Canceled)

// senders are the partitions of a fan-out that this process sends.
type senders struct {
	fleet  *Fleet
	fan    *jetstream.Fanout
	log    zerolog.Logger
	ledger *ledger.Ledger  // the relay's
	hard   context.Context //nolint:containedctx // Bounds the draining, which outlives the context of run.

	differs bool        // the holder has another routing. Of run.
	member  atomic.Bool // there is a lease
	taking  sync.Mutex  // one partition is taken at a time, so that connections that are too few are enough for some

	mu    sync.Mutex
	holds map[int]*partition
}

// errHeal ends the hold of a partition that has to wait for an audit.
var errHeal = errors.New("the stream has missed something")

// cutOff is after how long without NATS a sender leaves its partitions to others.
const cutOff = 10 * time.Second

// lost reports whether NATS has been out of reach since cut for too long for a sender to keep its
// partitions. Where cut is zero it is in reach.
func lost(cut time.Time) bool { return !cut.IsZero() && time.Since(cut) > cutOff }

// What ends a lease that is of no use.
var (
	errCutOff = errors.New("NATS is not reached from here")
	errOther  = fmt.Errorf("the slot's holder publishes otherwise: %w", context.Canceled)
)

// run owns a share of the partitions until ctx is done, then drains them. It outlives lost
// connections.
func (s *senders) run(ctx context.Context) error {
	var backoff pace.Backoff
	for ctx.Err() == nil {
		if !s.fan.Connected() {
			_ = pace.Wait(ctx, surveyEvery) // the loop looks at ctx
			continue
		}
		began := time.Now()
		err := s.lease(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Stopped: the partitions are somebody else's.
		}
		if errors.Is(err, errOther) {
			continue
		}
		if time.Since(began) > time.Minute {
			backoff.Reset()
		}
		pause := backoff.Next()
		s.log.Warn().Err(pglink.Describe(err)).Dur("pause", pause).Msg("partitions lost, taking a share of them again")
		_ = pace.Wait(ctx, pause) // the loop looks at ctx
	}
	return nil
}

// lease owns partitions for as long as one session stands and the slot's holder publishes to as
// many. Those are the row's: this process may have another configuration than the holder.
func (s *senders) lease(ctx context.Context) error {
	cfg := s.fleet.config()
	url := cfg.Database.ReplicationURL
	if url.IsZero() {
		url = cfg.Database.URL
	}
	of, err := s.published(ctx)
	if err != nil {
		return err
	}
	l, err := lease.Open(ctx, lease.Options{URL: url, Slot: cfg.Database.Slot, Partitions: of, Owner: s.fleet.opts.Owner, Logger: s.log})
	if err != nil {
		return err
	}
	s.member.Store(true)
	defer func() {
		l.Close(s.hard)
		s.member.Store(false)
	}()

	// The lease stands while partitions drain.
	keeping, endLease := context.WithCancel(s.hard)
	defer endLease()
	var group errgroup.Group
	held, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	group.Go(func() error {
		err := l.Run(keeping)
		lost(err)
		return err
	})
	var holds sync.WaitGroup
	err = s.share(held, l, of, &holds)
	s.endAll(err)
	holds.Wait()
	s.mu.Lock()
	clear(s.holds) // they were of this session
	s.mu.Unlock()
	endLease()
	return errors.Join(err, group.Wait())
}

// idle reports whether there is nothing to send for this process: the slot's holder delivers
// itself, or what it routes goes to endpoints that this process knows otherwise, or not at all.
func (s *senders) idle(slot *ledger.Position) bool {
	differs := slot.Partitions > 0 && slot.Routing.Hash != s.fleet.config().Routing()
	if differs && !s.differs {
		s.log.Warn().Msg("the process that has the slot routes by other endpoints, subscriptions or versions than this configuration has: " +
			"this one sends for no partition until they are the same")
	}
	s.differs = differs
	return slot.Partitions == 0 || differs
}

// published waits until there is something to send for this process, and returns to how many
// partitions the slot's holder publishes.
func (s *senders) published(ctx context.Context) (int, error) {
	for {
		slot, _, err := s.ledger.Position(ctx, s.fleet.config().Database.Slot)
		if err != nil || !s.idle(&slot) {
			return slot.Partitions, err
		}
		if pace.Wait(ctx, surveyEvery) != nil {
			return 0, context.Cause(ctx)
		}
	}
}

// share takes partitions and gives them back, until ctx is done.
func (s *senders) share(ctx context.Context, l *lease.Lease, of int, holds *sync.WaitGroup) error {
	for {
		if err := s.round(ctx, l, of, holds); err != nil {
			return err
		}
		if pace.Wait(ctx, surveyEvery) != nil {
			return context.Cause(ctx)
		}
	}
}

// round looks once at who owns what, and at what the slot's holder does.
func (s *senders) round(ctx context.Context, l *lease.Lease, of int, holds *sync.WaitGroup) error {
	if lost(s.fan.Cut()) {
		return errCutOff
	}
	slot, _, err := s.ledger.Position(ctx, s.fleet.config().Database.Slot)
	switch {
	case err != nil:
		return err
	case s.idle(&slot) || slot.Partitions != of:
		return errOther // a member without a share would keep others from it
	}
	s.heal(slot.Heal != nil)
	survey, err := l.Survey(ctx)
	if err != nil {
		return err
	}
	take, release := lease.Share(survey.Mine, survey.Owned, survey.Members, of)
	for _, p := range release {
		s.end(p, errGivenBack)
	}
	if err := s.giveBack(ctx, l); err != nil {
		return err
	}
	for _, p := range take {
		ok, err := l.Take(ctx, p)
		if err != nil {
			return err
		}
		if ok {
			s.begin(ctx, newPartition(s, l, p, of), holds)
		}
	}
	return nil
}

// begin has a partition sent.
func (s *senders) begin(ctx context.Context, p *partition, holds *sync.WaitGroup) {
	s.mu.Lock()
	s.holds[p.number] = p
	s.mu.Unlock()
	holds.Go(func() {
		defer close(p.over)
		if err := p.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn().Err(pglink.Describe(err)).Int("partition", p.number).Msg("partition ended")
		}
	})
}

// giveBack unlocks the partitions whose holds are over.
func (s *senders) giveBack(ctx context.Context, l *lease.Lease) error {
	for number, p := range s.all() {
		select {
		case <-p.over:
		default:
			continue
		}
		s.mu.Lock()
		delete(s.holds, number)
		s.mu.Unlock()
		if err := l.Release(ctx, number); err != nil {
			return fmt.Errorf("give back partition %d: %w", number, err)
		}
	}
	return nil
}

// all returns the partitions of now.
func (s *senders) all() map[int]*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.holds)
}

func (s *senders) end(number int, why error) {
	if p := s.all()[number]; p != nil {
		p.end(why)
	}
}

func (s *senders) endAll(why error) {
	for _, p := range s.all() {
		p.end(why)
	}
}

// heal has partitions begin again where a heal has become due, so that what has an order waits for
// it, and go on once it is over.
func (s *senders) heal(due bool) {
	for _, p := range s.all() {
		switch {
		case due && p.settled():
			p.end(errHeal)
		case !due:
			p.healed()
		}
	}
}
