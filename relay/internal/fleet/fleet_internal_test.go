package fleet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

// A fleet logs in to NATS as its configuration says, waits for one that is not there yet, and does
// not try again what only a person can mend.
func TestOpen_reachesNATSAsTheConfigurationSays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		server server.Options
		fanout config.Fanout
	}{
		"for all":           {server: server.Options{JetStream: true}},
		"a token":           {server: server.Options{JetStream: true, Authorization: "t"}, fanout: config.Fanout{Token: config.NewSecret("t")}},
		"user and password": {server: server.Options{JetStream: true, Username: "u", Password: "p"}, fanout: config.Fanout{User: "u", Password: config.NewSecret("p")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := newServer(t, test.server), &config.Config{Database: config.Database{Slot: "shop"}, Fanout: test.fanout}
			cfg.Fanout.Engine, cfg.Fanout.Partitions, cfg.Fanout.URL = config.EngineNATS, 3, config.NewSecret(s.ClientURL())
			f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }})
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			fan, err := f.open(ctx)
			require.NoError(t, err)
			require.NotNil(t, fan, "in time")
			defer fan.Close()
			there, err := jetstream.Look(t.Context(), jetstream.OptionsOf(cfg, nil, f.log))
			require.NoError(t, err)
			require.Equal(t, 3, there)

			cfg.Fanout.Replicas = 3
			_, err = f.open(ctx)
			require.ErrorIs(t, err, jetstream.ErrSetup, "its streams have one")

			s.Shutdown()
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			fan, err = f.open(ctx)
			require.NoError(t, err, "it waits until it is stopped")
			require.Nil(t, fan)
		})
	}
}

// cutOffFrom is a fleet that has lost NATS, as of which the clock of a bubble goes on.
func cutOffFrom(t *testing.T) (f *Fleet, cfg *config.Config, cut time.Time) {
	t.Helper()
	f, s := newFanout(t)
	s.Shutdown()
	require.Eventually(t, func() bool { return !f.fan.Cut().IsZero() }, patience, time.Millisecond)
	cfg = f.config()
	cfg.Outbox = config.Outbox{Mapping: outbox.DefaultMapping(), AuditInterval: time.Hour}
	cfg.Fanout.Hold = time.Minute
	return f, cfg, f.fan.Cut()
}

// reaching are others that reach NATS until a time.
type reaching struct {
	until time.Time
	err   error
}

func (r reaching) Senders(context.Context, int32) (int, error) {
	if time.Now().Before(r.until) {
		return 1, r.err
	}
	return 0, r.err
}

// A process that was cut off from NATS takes the slot when nobody else has it better; once the hold
// is over, and a heal can find what is left in the streams, it goes on alone at once.
func TestAwait_ofAProcessThatIsCutOff(t *testing.T) {
	t.Parallel()
	f, cfg, cut := cutOffFrom(t)
	broken := errors.New("no database")
	for name, test := range map[string]struct {
		after, others time.Duration // since the cut
		unaudited     bool
		fails         error

		takes time.Duration
		alone bool
	}{
		"for a moment, others do not count":      {after: time.Second, others: time.Hour, takes: time.Second},
		"for long, others go first":              {after: 16 * time.Second, others: 30 * time.Second, takes: 30 * time.Second},
		"for long, nobody else":                  {after: 16 * time.Second, takes: 16 * time.Second},
		"for the hold":                           {after: 61 * time.Second, takes: 61 * time.Second, alone: true},
		"for the hold, others go first":          {after: 61 * time.Second, others: time.Hour, takes: time.Hour, alone: true},
		"for the hold, nothing could be healed":  {after: 61 * time.Second, takes: 61 * time.Second, unaudited: true},
		"for long, nobody knows who others are":  {after: 16 * time.Second, fails: broken, takes: 16 * time.Second},
		"for long, others go first, it is ended": {after: 16 * time.Second, others: 10 * time.Hour, fails: context.DeadlineExceeded, takes: 5 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			mine := *cfg
			if test.unaudited {
				mine.Outbox.AuditInterval = 0
			}
			f := &Fleet{opts: Options{Settings: func() Settings { return Settings{Config: &mine} }}, fan: f.fan, fanned: make(chan struct{})}
			close(f.fanned)
			require.NoError(t, pace.Wait(t.Context(), time.Until(cut.Add(test.after))))
			ctx, cancel := context.WithDeadline(t.Context(), cut.Add(5*time.Hour))
			defer cancel()
			others := reaching{until: cut.Add(test.others)}
			if errors.Is(test.fails, broken) {
				others.err = broken
			}
			require.ErrorIs(t, f.Await(ctx, others), test.fails, name)
			require.InDelta(t, test.takes, time.Since(cut), float64(poll), name)
			require.Equal(t, test.alone, f.Partitions() == 0, name)
			if test.alone {
				require.Equal(t, time.Now().Add(-time.Minute), f.Away(), name)
			}
		})
	}
}

// A hold that publishes is ended once others reach NATS and this process does not, or once nothing
// is taken for too long and a heal can find what is left. Until then it goes on.
func TestWatch_ofAHoldThatPublishes(t *testing.T) {
	t.Parallel()
	f, cfg, _ := cutOffFrom(t)
	r := f.NewReader(ReaderOptions{Barriers: source.NewBarriers(1, func(context.Context, string) error { return nil })})
	publishing(t, r)
	require.Eventually(t, func() bool { return !r.Stuck().IsZero() }, patience, time.Millisecond)
	for name, test := range map[string]struct {
		others    time.Duration // since it is stuck
		unaudited bool

		ends  error
		after time.Duration
	}{
		"nobody reaches NATS":                      {ends: errAlone, after: time.Minute},
		"others do":                                {others: time.Hour, ends: errYields, after: yieldAfter},
		"others have left by then":                 {others: 10 * time.Second, ends: errAlone, after: time.Minute},
		"nobody does, and nothing could be healed": {unaudited: true, after: time.Hour},
	} {
		stuck := r.Stuck()
		synctest.Test(t, func(t *testing.T) {
			mine := *cfg
			if test.unaudited {
				mine.Outbox.AuditInterval = 0
			}
			f := &Fleet{opts: Options{Settings: func() Settings { return Settings{Config: &mine} }}, fan: f.fan}
			require.NoError(t, pace.Wait(t.Context(), time.Until(stuck)))
			ctx, cancel := context.WithDeadline(t.Context(), stuck.Add(time.Hour))
			defer cancel()
			var ended error
			f.Watch(ctx, WatchOptions{Members: reaching{until: stuck.Add(test.others)}, Reader: r, End: func(err error) {
				require.NoError(t, ended, "once")
				require.Equal(t, errors.Is(err, errAlone), !f.Away().IsZero(), "the next hold says so from its beginning")
				ended = err
			}})
			require.ErrorIs(t, ended, test.ends, name)
			require.InDelta(t, test.after, time.Since(stuck), float64(2*poll), name)
			require.Equal(t, errors.Is(test.ends, errAlone), !f.Away().IsZero(), name)
		})
	}
}

// A hold that delivers alone goes on while NATS was not reached, however long.
func TestWatch_ofAHoldThatDeliversAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := &config.Config{Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2}}
		f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		f.Watch(ctx, WatchOptions{End: func(err error) { require.NoError(t, err) }})
		require.ErrorIs(t, context.Cause(ctx), context.DeadlineExceeded)
	})
}

// A relay that delivers alone relies on NATS once it has been well for long enough, without a
// break.
func TestHealth_isEnoughWithoutABreak(t *testing.T) {
	t.Parallel()
	var well health
	began, away := time.Now(), errors.New("away")
	for i, step := range []struct {
		after  time.Duration
		err    error
		enough bool
	}{
		{0, away, false},
		{soundFor, nil, false},
		{2 * soundFor, nil, false},
		{2*soundFor + 1, away, false},
		{3 * soundFor, nil, false},
		{4 * soundFor, nil, false},
		{4*soundFor + 1, nil, true},
	} {
		require.Equal(t, step.enough, well.enough(step.err, began.Add(step.after)), i)
	}
}

// Nobody is waited for where the partitions stay as they were, or are none.
func TestDrain_isOfOtherPartitions(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2}}
	f := New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }})
	require.NoError(t, f.Drain(t.Context(), DrainOptions{Former: 0}), "the holder before delivered itself")
	require.NoError(t, f.Drain(t.Context(), DrainOptions{Former: 2}), "as many")
	f.alone = true
	require.NoError(t, f.Drain(t.Context(), DrainOptions{Former: 4}), "this one delivers itself")
	f.Close() // and it has reached nobody
}
