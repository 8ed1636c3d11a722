package heal_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

func TestWhoIsEntitledToWhatAGapHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.see(func() {
			b.routed["erp"] = ledger.Routed{Config: true, CreatedAt: b.gap, Since: time.Now()}
			b.routed["ledger"] = ledger.Routed{CreatedAt: b.gap, Since: b.gap.Add(30 * time.Second)}
		})
		b.insert(b.gap.Add(time.Second), "unread")
		b.insert(b.gap.Add(40*time.Second), "later")
		b.insert(b.gap.Add(-30*time.Minute), "before anybody wanted it")
		b.insert(b.gap.Add(-3*time.Hour), "older than the slot")
		b.insert(b.gap.Add(2*time.Second), "read")
		b.recorded["read"] = []string{"ledger"}
		b.see(func() {
			b.rows = append(b.rows, &row{Event: outbox.Event{ID: "nobody", Type: "nobody", CreatedAt: b.gap}, block: 9})
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		require.ElementsMatch(t, []string{"unread>erp", "later>erp", "later>ledger"}, b.sent(),
			"one of the configuration gets what was not read, as from the stream; another what came since it wants it")
	})
}

// Without a gap the stream has brought everything: who came to want an event later gets none of it.
func TestNobodyIsEntitledToWhatWasThereBeforeHeWantedIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, time.Hour)
		b.see(func() {
			for id, config := range map[string]bool{"erp": true, "ledger": false} {
				b.routed[id] = ledger.Routed{Config: config, CreatedAt: b.gap, Since: b.gap}
			}
		})
		b.insert(b.gap.Add(-time.Second), "before")
		b.insert(b.gap, "since")
		b.run(t, nil)
		pass(t, 50*time.Minute)
		require.ElementsMatch(t, []string{"since>erp", "since>ledger"}, b.sent())
		require.Equal(t, 1, b.again(), "what is nobody's is not read in full")
	})
}

// A backfill is for those who were there when the slot was taken; what came later comes to those
// who wanted it then.
func TestWhoIsEntitledToWhatABackfillHas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ created, since, row time.Duration }{
		"older, for one of the first moment": {0, 0, -time.Hour},
		"older, for one that wants more now": {0, time.Hour, -time.Hour},
		"older, for one of later":            {time.Nanosecond, time.Nanosecond, -time.Hour},
		"newer, for one of later":            {time.Hour, time.Hour, time.Hour},
		"newer, for one of later still":      {0, time.Hour + time.Second, time.Hour},
	} {
		want := test.row < 0 && test.created == 0 || test.row > 0 && test.since <= test.row
		synctest.Test(t, func(t *testing.T) {
			b := setupAudit(t, 0)
			at := b.Position.StartedAt.Add
			for n, why := range []string{"backfill", "backfill", "backfill; the slot was missing", "backfill; the slot was missing"} {
				config := n%2 == 0
				b.see(func() {
					b.rows, b.queued, b.recorded = nil, nil, map[string][]string{}
					b.routed = map[string]ledger.Routed{"erp": {Config: config, CreatedAt: at(test.created), Since: at(test.since)}}
				})
				b.insert(at(test.row), "x")
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				require.NoError(t, b.Run(ctx, heal.Due(ledger.Heal{Why: why, From: 500})))
				stop()
				require.Zero(t, b.scopes[len(b.scopes)-1].Gap)
				// Of a gap one of the configuration gets what nobody has, and this one has no known
				// beginning.
				want := want || test.row > 0 && config && why != "backfill"
				require.Equal(t, want, len(b.sent()) > 0, "%s, %s, of the configuration: %t", name, why, config)
				b.Auditor = heal.NewAuditor(b.AuditorOptions)
			}
		})
	}
}

// Routing may know an endpoint that the tables have not heard of yet: nothing was missed for it.
func TestAnEndpointThatIsNotOnRecordIsEntitledToNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		delete(b.routed, "ledger")
		b.insert(b.gap, "lost")
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Equal(t, []string{"lost>erp"}, b.sent())
	})
}

// Behind a horizon the time of a row says less than that it was written after it: an endpoint that
// was there by then gets all that nobody has, and of what others have what is not older than it is.
func TestWhoGetsWhatWasWrittenBehindTheHorizon(t *testing.T) {
	t.Parallel()
	const minutes = time.Minute
	for since, want := range map[time.Duration]string{
		-3 * minutes: "read, late>ledger read, no time>ledger unread, early>ledger unread, late>ledger unread, no time>ledger",
		-1 * minutes: "read, late>ledger unread, late>ledger unread, no time>ledger",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := setupAudit(t, 0)
			b.behindTheHorizon() // two minutes before the gap
			b.see(func() {
				b.routed["ledger"] = ledger.Routed{CreatedAt: b.gap.Add(since), Since: b.gap.Add(since)}
				b.routed["erp"] = ledger.Routed{Config: true, CreatedAt: b.gap.Add(since), Since: b.gap.Add(since)}
			})
			for name, created := range map[string]time.Time{"early": b.gap.Add(-90 * minutes), "late": b.gap.Add(time.Second), "no time": {}} {
				b.insert(created, "unread, "+name, "read, "+name)
				b.recorded["read, "+name] = []string{"erp"}
			}
			b.run(t, b.due())
			pass(t, time.Minute)
			config := func(s string) bool { return strings.HasSuffix(s, ">erp") }
			sent := slices.DeleteFunc(b.sent(), config)
			require.Len(t, b.sent(), len(sent)+3, "one of the configuration gets all that nobody has")
			slices.Sort(sent)
			require.Equal(t, want, strings.Join(sent, " "), "an endpoint made %s before the gap", -since)
		})
	}
}
