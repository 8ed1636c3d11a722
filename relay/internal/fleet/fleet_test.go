package fleet_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/fleet"
)

// others are processes that reach NATS until a time.
type others struct{ until time.Time }

func (o others) Senders(context.Context, int32) (int, error) {
	if time.Now().Before(o.until) {
		return 1, nil
	}
	return 0, nil
}

// A relay goes on without NATS after a while only if what is left in its streams can be found in
// the outbox table later: that takes a table, and audits. Otherwise it waits, and the slot keeps
// what is committed.
func TestAwait_waitsWhereNothingCouldBeHealed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		outbox config.Outbox
		alone  bool
	}{
		"a table that is audited": {config.Outbox{Mapping: outbox.DefaultMapping(), AuditInterval: time.Hour}, true},
		"a table without audits":  {config.Outbox{Mapping: outbox.DefaultMapping()}, false},
		"logical messages":        {config.Outbox{Messages: "shop", AuditInterval: time.Hour}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := &config.Config{Outbox: test.outbox, Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 4, Hold: time.Minute}}
				f := fleet.New(&cfg.Fanout, fleet.Options{Settings: func() fleet.Settings { return fleet.Settings{Config: cfg} }})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				err := f.Await(ctx, others{})
				if !test.alone {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Equal(t, 4, f.Partitions())
					return
				}
				require.NoError(t, err)
				require.Equal(t, time.Minute, time.Since(began))
				require.Zero(t, f.Partitions(), "it delivers what it reads")
				require.Equal(t, began, f.Away())
			})
		})
	}
}

// A process that has never reached NATS, as one on a machine that is cut off, leaves the slot to
// those that do: alone it would take all partitions from them.
func TestAwait_leavesTheSlotToThoseThatReachNATS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := &config.Config{
			Outbox: config.Outbox{Mapping: outbox.DefaultMapping(), AuditInterval: time.Hour},
			Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 4, Hold: time.Minute},
		}
		f := fleet.New(&cfg.Fanout, fleet.Options{Settings: func() fleet.Settings { return fleet.Settings{Config: cfg} }})
		leave := time.Now().Add(time.Hour)
		require.NoError(t, f.Await(t.Context(), others{until: leave}))
		require.False(t, time.Now().Before(leave))
		require.Less(t, time.Since(leave), time.Minute)
		require.Zero(t, f.Partitions(), "nobody else is there: it delivers what it reads")
	})
}
