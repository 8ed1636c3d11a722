package fleet

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// Once the stream has missed something, the partitions that deliver begin anew, so that what has an
// order waits for the audit. Those that wait for it already, and those that are being taken, go on:
// otherwise nobody would deliver anything until the audit is over.
func TestAHealEndsThePartitionsThatDoNotKnowOfIt(t *testing.T) {
	t.Parallel()
	s := &senders{holds: make(map[int]*partition)}
	for n := range 3 {
		s.holds[n] = newPartition(s, nil, n, 3)
	}
	const delivers, waits, begins = 0, 1, 2
	s.holds[delivers].dispatcher, s.holds[waits].dispatcher = &dispatch.Dispatcher{}, &dispatch.Dispatcher{}
	s.holds[waits].healing = true
	for range 3 {
		s.heal(true)
	}
	require.Len(t, s.holds[delivers].broken, 1)
	require.ErrorIs(t, <-s.holds[delivers].broken, errHeal)
	require.Empty(t, s.holds[waits].broken)
	require.Empty(t, s.holds[begins].broken)
	// Over: those that waited deliver, so that the next one ends them too.
	s.heal(false)
	require.Empty(t, s.holds[delivers].broken)
	s.heal(true)
	require.Len(t, s.holds[waits].broken, 1)
	require.ErrorIs(t, <-s.holds[waits].broken, errHeal)
}

// A sender whose configuration routes otherwise than the slot's holder does sends nothing: it may
// lack an endpoint, or know another one by its name. It says so once each time.
func TestAProcessSendsOnlyWhatItRoutesAsTheHolderDoes(t *testing.T) {
	t.Parallel()
	log := new(bytes.Buffer)
	cfg := &config.Config{Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2}}
	f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }})
	s := &senders{fleet: f, log: zerolog.New(log)}
	same, other := ledger.Routing{Hash: cfg.Routing()}, ledger.Routing{Hash: "other"}
	for i, step := range []struct {
		slot ledger.Position
		idle bool
		said int
	}{
		{ledger.Position{Partitions: 2, Routing: same}, false, 0},
		{ledger.Position{Partitions: 4, Routing: same}, false, 0},
		{ledger.Position{Partitions: 0, Routing: other}, true, 0},
		{ledger.Position{Partitions: 2, Routing: other}, true, 1},
		{ledger.Position{Partitions: 2, Routing: other}, true, 1},
		{ledger.Position{Partitions: 2, Routing: same}, false, 1},
		{ledger.Position{Partitions: 2, Routing: other}, true, 2},
		{ledger.Position{Partitions: 0, Routing: same}, true, 2},
	} {
		require.Equal(t, step.idle, s.idle(&step.slot), i)
		require.Equal(t, step.said, strings.Count(log.String(), "\n"), i)
	}
}

// Each endpoint has one partition, and a partition that is over is all that is given back.
func TestPartitionsOfAProcess(t *testing.T) {
	t.Parallel()
	s := &senders{holds: make(map[int]*partition)}
	for n := range 3 {
		s.holds[n] = newPartition(s, nil, n, 3)
	}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		var owners int
		for _, p := range s.holds {
			if p.mine(id) {
				owners++
			}
		}
		require.Equal(t, 1, owners, id)
	}
	require.NoError(t, s.giveBack(t.Context(), nil), "all of them go on")
	require.Len(t, s.all(), 3)
	s.end(7, errHeal) // of which there is none
	s.end(1, errHeal)
	s.endAll(errOther)
	for n, why := range []error{errOther, errHeal, errOther} {
		require.ErrorIs(t, <-s.holds[n].broken, why, "the first reason counts")
		require.Empty(t, s.holds[n].broken)
	}
}

// A reload that a partition cannot follow has it begin anew with what is valid then.
func TestAReloadEndsAPartitionThatDoesNotDeliverYetAndWhereAllChanges(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2}}
	f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }})
	f.Reload(t.Context(), Settings{Config: cfg}, true)
	require.Empty(t, f.Dispatchers(), "NATS was not reached yet")
	f.senders = &senders{fleet: f, holds: make(map[int]*partition)}
	const delivers, begins = 0, 1
	for _, n := range []int{delivers, begins} {
		f.senders.holds[n] = newPartition(f.senders, nil, n, 2)
	}
	dispatcher := &dispatch.Dispatcher{}
	f.senders.holds[delivers].dispatcher = dispatcher
	require.Equal(t, []*dispatch.Dispatcher{dispatcher}, f.Dispatchers())
	f.Reload(t.Context(), Settings{Config: cfg}, true)
	for _, p := range f.sending() {
		require.ErrorIs(t, <-p.broken, errAnew)
	}
	f.senders.holds[begins].reload(t.Context(), Settings{Config: cfg}, false)
	require.ErrorIs(t, <-f.senders.holds[begins].broken, errAnew)
}

func TestAHoldGoesOnAloneAndTogetherAgain(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2}}
	f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }})
	for _, step := range []struct {
		end        error
		goesOn     bool
		partitions int
	}{{errYields, false, 2}, {errAlone, true, 0}, {errOther, false, 0}, {errTogether, true, 2}, {nil, false, 2}} {
		require.Equal(t, step.goesOn, f.GoesOn(step.end), step.end)
		require.Equal(t, step.partitions, f.Partitions(), step.end)
	}
}

// counted are the processes of a fleet.
type counted int

func (n counted) Senders(context.Context, int32) (int, error) { return int(n), nil }

func TestHowLongIsTooLong(t *testing.T) {
	t.Parallel()
	require.False(t, tooLong(time.Time{}, time.Minute), "it is not so")
	require.False(t, tooLong(time.Now().Add(-time.Second), time.Minute))
	require.True(t, tooLong(time.Now().Add(-time.Hour), time.Minute))
}

func TestAProcessIsNotAmongTheOthers(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2}}
	f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }})
	f.senders = &senders{fleet: f}
	for _, test := range []struct {
		member bool
		all    counted
		others bool
	}{{false, 0, false}, {false, 1, true}, {true, 1, false}, {true, 2, true}} {
		f.senders.member.Store(test.member)
		others, err := f.others(t.Context(), test.all)
		require.NoError(t, err)
		require.Equal(t, test.others, others, test)
	}
}

// A relay without a fan-out delivers what it reads, and has no part in a fleet.
func TestARelayWithoutAFanoutHasNoFleet(t *testing.T) {
	t.Parallel()
	f := New(&config.Fanout{}, Options{})
	require.Nil(t, f)
	require.NoError(t, f.Await(t.Context(), nil))
	require.Zero(t, f.Partitions())
	require.Zero(t, f.Away())
	require.Empty(t, f.Dispatchers())
	f.Watch(t.Context(), WatchOptions{})
	f.Reload(t.Context(), Settings{}, true)
	require.NoError(t, f.Drain(t.Context(), DrainOptions{Former: 2}))
}

// A process that does not reach NATS joins no fleet: a member without a share would keep others
// from it.
func TestSendersWaitForNATS(t *testing.T) {
	t.Parallel()
	f, _, _ := cutOffFrom(t)
	synctest.Test(t, func(t *testing.T) {
		s := &senders{fleet: f, fan: f.fan} // it asks no database
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, s.run(ctx))
		require.Error(t, ctx.Err())
	})
}

// What a sender has it keeps through a short break, and leaves to others after a long one.
func TestSendersLeaveTheirPartitionsWhereNATSIsGone(t *testing.T) {
	t.Parallel()
	f, _, _ := cutOffFrom(t)
	synctest.Test(t, func(t *testing.T) {
		cut := time.Now()
		require.False(t, lost(time.Time{}), "it is there")
		require.NoError(t, pace.Wait(t.Context(), 10*time.Second))
		require.False(t, lost(cut))
		require.NoError(t, pace.Wait(t.Context(), time.Second))
		require.True(t, lost(cut))
		require.NoError(t, pace.Wait(t.Context(), time.Until(f.fan.Cut().Add(11*time.Second))))
		require.ErrorIs(t, (&senders{fleet: f, fan: f.fan}).round(t.Context(), nil, 2, nil), errCutOff)
	})
}

// A process that gets no lease says so, and tries again after a pause.
func TestSendersTryAgainForALease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := *w.config()
	cfg.Database.ReplicationURL = config.NewSecret("nonsense")
	w.set.Store(&Settings{Config: &cfg})
	began := time.Now()
	w.run(t)
	kit.Eventually(t, soon, func() error {
		if strings.Count(w.log.String(), "taking a share of them again") < 2 {
			return errors.New("it does not try again")
		}
		return nil
	})
	require.GreaterOrEqual(t, time.Since(began), pace.DefaultLeast)
}

// Once the slot's holder publishes to another number of partitions, a process sends for as many,
// whatever its own configuration says, and for none of those of before.
func TestSendersFollowWhoeverPublishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(t)
	const taken = "SELECT count(*) FROM tailpost.relay WHERE partition_of = $1 AND owner = 'me' AND partitions = $2 AND epoch > 0"
	w.db.AwaitCount(t, 2, taken, w.db.Slot, 2)
	before := w.sending()
	_, err := w.led.Publishing(t.Context(), w.hold, ledger.PublishingOptions{Partitions: 3, Now: time.Now()})
	require.NoError(t, err)
	for _, p := range before {
		comes(t, p.over)
	}
	w.db.AwaitCount(t, 3, taken, w.db.Slot, 3)
}
