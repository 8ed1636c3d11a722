package heal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// sound is a slot that nothing has happened to.
func sound() *heal.Finding {
	settledAt := time.Unix(1_000_000, 0)
	return &heal.Finding{
		Before: ledger.Position{
			Place: ledger.Place{SystemID: "1", Timeline: 1}, Settled: 100, SettledAt: settledAt, StartedAt: settledAt.Add(-time.Hour),
			Publication: "1.2.3.4.5",
		},
		Info:        postgres.Info{ServerVersion: 170000, SystemID: "1", Timeline: 1, ConfirmedFlush: 100},
		Publication: "1.2.3.4.5",
	}
}

// upgraded is what pg_upgrade makes of a slot that it keeps.
func upgraded(f *heal.Finding) {
	f.Info.SystemID, f.Info.ConfirmedFlush = "2", 200
	f.Publication = "9.9.3.9.9"
}

func but(first, then func(f *heal.Finding)) func(f *heal.Finding) {
	return func(f *heal.Finding) { first(f); then(f) }
}

const (
	anotherServer = "the server is another one: system identifier 2 instead of 1; the publication was created anew"
	changedServer = "the server is another one: system identifier 2 instead of 1; the publication was changed"
	moved         = "the slot is ahead of what was recorded"
)

func TestDetectors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(f *heal.Finding)
		gap    string // why; empty: none
		doubt  string
	}{
		"nothing has happened":      {func(*heal.Finding) {}, "", ""},
		"another server":            {func(f *heal.Finding) { f.Info.SystemID, f.Info.SlotCreated = "2", true }, "the server is another one: system identifier 2 instead of 1", ""},
		"another server's timeline": {func(f *heal.Finding) { f.Info.SystemID, f.Info.SlotCreated, f.Info.Timeline = "2", true, 5 }, "the server is another one: system identifier 2 instead of 1", ""},
		"a failover":                {func(f *heal.Finding) { f.Info.Timeline = 2 }, "the server went from timeline 1 to 2: a failover or a restore", ""},
		"a new publication":         {func(f *heal.Finding) { f.Publication = "9.2.3.9.9" }, "the publication was created anew", ""},
		"a new table":               {func(f *heal.Finding) { f.Publication = "1.2.9.9.9" }, "the outbox table was created anew", ""},
		"a changed publication":     {func(f *heal.Finding) { f.Publication = "1.9.3.4.5" }, "the publication was changed", ""},
		"no publication":            {func(f *heal.Finding) { f.Publication = "" }, "the publication was changed", ""},
		"a row of an older release": {func(f *heal.Finding) { f.Before.Publication = "" }, "", ""},
		"a row of another release":  {func(f *heal.Finding) { f.Before.Publication = "1" }, "the publication was changed", ""},
		"WAL let go unread":         {func(f *heal.Finding) { f.Info.SkippedFrom = 90 }, "WAL from a time without publication cannot be decoded", ""},
		"WAL let go for a known cause": {func(f *heal.Finding) {
			f.Info.SkippedFrom, f.Before.Heal = 90, &ledger.Heal{Why: "known"}
		}, "", ""},
		"two causes": {
			func(f *heal.Finding) { f.Info.Timeline, f.Publication = 2, "9.2.3.4.5" },
			"the server went from timeline 1 to 2: a failover or a restore; the publication was created anew", "",
		},
		"WAL let go beside another cause": {
			func(f *heal.Finding) { f.Info.Timeline, f.Info.SkippedFrom = 2, 90 },
			"the server went from timeline 1 to 2: a failover or a restore", "",
		},
		"a slot that was moved in a known gap":                    {func(f *heal.Finding) { f.Info.ConfirmedFlush, f.Before.Heal = 101, &ledger.Heal{Why: "known"} }, "", ""},
		"a slot that was moved":                                   {func(f *heal.Finding) { f.Info.ConfirmedFlush = 101 }, "", "the slot is ahead of what was recorded"},
		"a slot that we moved":                                    {func(f *heal.Finding) { f.Info.ConfirmedFlush, f.Acked = 101, 101 }, "", ""},
		"a slot that was moved beyond our acks":                   {func(f *heal.Finding) { f.Info.ConfirmedFlush, f.Acked = 102, 101 }, "", "the slot is ahead of what was recorded"},
		"a slot within what a relay lets go of":                   {func(f *heal.Finding) { f.Info.ConfirmedFlush, f.Before.Released = 150, 150 }, "", "the slot is ahead of what was recorded"},
		"a slot that we moved within it":                          {func(f *heal.Finding) { f.Info.ConfirmedFlush, f.Before.Released, f.Acked = 150, 150, 150 }, "", ""},
		"a slot beyond what a relay lets go of":                   {func(f *heal.Finding) { f.Info.ConfirmedFlush, f.Before.Released = 151, 150 }, "", "the slot is ahead of what was recorded"},
		"a slot behind what is recorded":                          {func(f *heal.Finding) { f.Info.ConfirmedFlush = 99 }, "", ""},
		"an upgraded server that kept the slot":                   {upgraded, "", "pg_upgrade has kept the slot: system identifier 2 instead of 1"},
		"one whose positions are the same":                        {but(upgraded, func(f *heal.Finding) { f.Info.ConfirmedFlush = 100 }), "", "pg_upgrade has kept the slot: system identifier 2 instead of 1"},
		"one where the slot was made anew":                        {but(upgraded, func(f *heal.Finding) { f.Info.SlotCreated = true }), anotherServer, moved},
		"one that is due to be healed":                            {but(upgraded, func(f *heal.Finding) { f.Before.Heal = &ledger.Heal{Why: "known"} }), anotherServer, ""},
		"one of a version that keeps no slots":                    {but(upgraded, func(f *heal.Finding) { f.Info.ServerVersion = 169999 }), anotherServer, moved},
		"one whose positions are lower":                           {but(upgraded, func(f *heal.Finding) { f.Info.ConfirmedFlush = 99 }), anotherServer, ""},
		"one whose positions are lower than what we acknowledged": {but(upgraded, func(f *heal.Finding) { f.Acked = 201 }), anotherServer, ""},
		"one of another release":                                  {but(upgraded, func(f *heal.Finding) { f.Before.Publication = "1" }), changedServer, moved},
		"one where the publication is not there":                  {but(upgraded, func(f *heal.Finding) { f.Publication = "" }), changedServer, moved},
		"one where the table is another": {
			but(upgraded, func(f *heal.Finding) { f.Publication = "9.9.4.9.9" }),
			"the server is another one: system identifier 2 instead of 1; the outbox table was created anew", moved,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := sound()
			test.change(f)
			now := time.Now()
			gap := f.Gap(now)
			if test.gap == "" {
				require.Nil(t, gap)
			} else {
				require.NotNil(t, gap)
				require.True(t, heal.Due(*gap).Certain())
				require.Equal(t, test.gap, gap.Why)
				require.Equal(t, f.Before.Settled, gap.From)
				require.Equal(t, now, gap.At)
				require.True(t, gap.Since.Before(f.Before.SettledAt), "what a transaction under way had written is looked at too")
			}
			doubt := f.Doubt(now)
			if test.doubt == "" {
				require.Nil(t, doubt)
				return
			}
			require.NotNil(t, doubt)
			require.Equal(t, test.doubt, doubt.Why)
			require.False(t, doubt.Certain(), "nobody waits for it")
		})
	}
}

func TestSignsOfABrokenSlotAreMendedOnceAndNotedFirst(t *testing.T) {
	t.Parallel()
	for kind, test := range map[error]struct {
		why     string
		refusal bool
		mended  postgres.Options
	}{
		postgres.ErrUnreadable:  {"the publication was missing while events were committed", false, postgres.Options{SkipBacklog: true}},
		postgres.ErrWALMissing:  {"WAL that the slot needed was missing", false, postgres.Options{Replace: true}},
		postgres.ErrSlotMissing: {"the slot was missing", true, postgres.Options{Create: true, ReplaceLost: true}},
		postgres.ErrSlotLost:    {"Postgres invalidated the slot", true, postgres.Options{Create: true, ReplaceLost: true}},
	} {
		t.Run(kind.Error(), func(t *testing.T) {
			t.Parallel()
			var s heal.Symptoms
			err := fmt.Errorf("run stream: %w", kind)
			require.Equal(t, test.refusal, s.Refused(err))
			s.Ended(err)
			s.Ended(err) // and again, before it could be mended
			var o postgres.Options
			require.Equal(t, []string{test.why}, s.Mend(&o))
			require.Equal(t, test.mended, o)
			require.Len(t, s.Mend(&o), 1, "it is not mended before a stream was opened")
			s.Opened()
			var sane postgres.Options
			require.Empty(t, s.Mend(&sane))
			require.Equal(t, postgres.Options{}, sane)
		})
	}
	var s heal.Symptoms
	require.False(t, s.Refused(postgres.ErrSlotActive))
	s.Ended(postgres.ErrSlotMissing)
	require.Empty(t, s.Mend(&postgres.Options{}), "whether a slot is missing is found out when it is opened")
	s.Ended(postgres.ErrUnreadable)
	s.Forget()
	require.Empty(t, s.Mend(&postgres.Options{}), "whoever holds the slot finds out")
	s.Noted("why")
	require.Equal(t, "why", s.Taken())
	require.Empty(t, s.Taken())
}

func TestABackfillIsNoGap(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.Nil(t, heal.Backfill(config.Start{}, 7, now))
	all := heal.Backfill(config.Start{Beginning: true}, 7, now)
	require.True(t, all.Since.IsZero())
	require.EqualValues(t, 7, all.From)
	some := heal.Backfill(config.Start{At: now.Add(-time.Hour)}, 7, now)
	require.Equal(t, []time.Time{now.Add(-time.Hour), now}, []time.Time{some.Since, some.At})
	require.False(t, heal.Missed(all, nil, some))
	require.True(t, heal.Missed(nil, &ledger.Heal{Why: "the slot was missing"}))
	require.False(t, (*heal.Inquiry)(nil).Certain(), "nothing is to be healed")
}

// A gap is looked for from an hour before the last of what is known to be settled, or to have been
// audited, or the beginning of the slot: transactions commit after the times that their rows have.
func TestAGapBeginsAnHourBeforeWhatIsKnown(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	for name, before := range map[string]ledger.Position{
		"settled":    {Settled: 7, SettledAt: noon, AuditedAt: noon.Add(-time.Hour), StartedAt: noon.Add(-3 * time.Hour)},
		"audited":    {Settled: 7, AuditedAt: noon, StartedAt: noon.Add(-3 * time.Hour)},
		"only begun": {Settled: 7, StartedAt: noon},
	} {
		require.Equal(t, ledger.Heal{Why: "the slot was missing", From: 7, Since: noon.Add(-time.Hour), At: noon.Add(time.Hour)},
			heal.After(before, "the slot was missing", noon.Add(time.Hour)), name)
	}
}
