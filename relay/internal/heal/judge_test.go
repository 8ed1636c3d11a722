package heal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// watched has an audit write its log to where a test reads it.
func (b *auditBundle) watched(change func(o *heal.AuditorOptions)) *kit.Log {
	log := new(kit.Log)
	b.Logger = zerolog.New(log)
	if change != nil {
		change(&b.AuditorOptions)
	}
	b.Auditor = heal.NewAuditor(b.AuditorOptions)
	return log
}

// TestWhatAnAuditMakesOfARow: each kind of row, in a gap, in an audit of the interval, and in a
// backfill; with what the queue and the gap's note have of it then.
func TestWhatAnAuditMakesOfARow(t *testing.T) {
	t.Parallel()
	const (
		noType = "type is NULL"
		both   = "x>erp x>ledger"
	)
	long := strings.Repeat("i", 1025)
	kinds := map[string]struct {
		row      row
		recorded []string // who has it
		at       time.Duration
		gap      string // what is queued after a gap
		routine  string // by an audit of the interval
		backfill string // of a backfill that goes to the beginning
		note     string // of the gap
		leave    bool   // a first look is enough to leave it alone
	}{
		"wanted":                          {row: row{}, gap: both, routine: both, backfill: both},
		"one has it":                      {row: row{}, recorded: []string{"erp"}, gap: "x>ledger", routine: "x>ledger", backfill: "x>ledger"},
		"everyone of those who want it":   {row: row{}, recorded: []string{"ledger", "erp"}, leave: true},
		"dead to everyone":                {row: row{}, recorded: []string{dispatch.Everyone}, leave: true},
		"nobody wants its type":           {row: row{Event: outbox.Event{Type: "nobody"}}, leave: true},
		"a filter leaves it out":          {row: row{Event: outbox.Event{Type: "filtered out"}}},
		"no type":                         {row: row{Event: outbox.Event{Type: "-"}, err: errors.New(noType)}, gap: "x>*", routine: "x>*", backfill: "x>*"},
		"no type, and dead already":       {row: row{Event: outbox.Event{Type: "-"}, err: errors.New(noType)}, recorded: []string{dispatch.Everyone}, leave: true},
		"no type, and somebody has it":    {row: row{Event: outbox.Event{Type: "-"}, err: errors.New(noType)}, recorded: []string{"erp"}, leave: true},
		"older than the slot":             {row: row{}, at: -3 * time.Hour, backfill: both},
		"no type, older than the slot":    {row: row{Event: outbox.Event{Type: "-"}, err: errors.New(noType)}, at: -3 * time.Hour, gap: "x>*", backfill: "x>*"},
		"its id may have been used":       {row: row{doubtful: true}, recorded: []string{"erp", "ledger"}, note: "1 rows have ids that were delivered", leave: true},
		"one of its tenant wants it":      {row: row{Event: outbox.Event{Tenant: "acme"}}, recorded: []string{"erp", "ledger"}, gap: "x>crm", routine: "x>crm", backfill: "x>crm"},
		"doubtful, and nobody wants it":   {row: row{Event: outbox.Event{Type: "nobody"}, doubtful: true}, leave: true},
		"an id that cannot be on record":  {row: row{Event: outbox.Event{ID: long}}, note: "1 rows could not be judged"},
		"no id":                           {row: row{Event: outbox.Event{ID: "-"}, err: errors.New("id is NULL")}, note: "1 rows could not be judged"},
		"such an id, and nobody wants it": {row: row{Event: outbox.Event{ID: long, Type: "nobody"}}, leave: true},
	}
	for name, kind := range kinds {
		for how, want := range map[string]string{"gap": kind.gap, "routine": kind.routine, "backfill": kind.backfill} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setupAudit(t, time.Hour)
					b.watched(func(o *heal.AuditorOptions) {
						o.Terms = func(ev *outbox.Event) []string { return []string{"id=" + ev.ID} }
					})
					b.routed["crm"] = b.routed["ledger"]
					r := kind.row
					if r.ID == "" {
						r.ID = "x"
					}
					if r.Type == "" {
						r.Type = "order.created"
					}
					r.ID, r.Type, r.Payload = strings.Trim(r.ID, "-"), strings.Trim(r.Type, "-"), []byte("{}")
					r.CreatedAt = b.gap.Add(kind.at + time.Second)
					r.doubtful = r.doubtful && how == "gap" // as the table says it
					if kind.recorded != nil {
						b.recorded[r.ID] = kind.recorded
					}
					b.rows = append(b.rows, &r)
					switch how {
					case "gap":
						b.run(t, b.due())
					case "routine":
						b.run(t, nil)
					case "backfill":
						b.see(func() {
							for id := range b.routed {
								b.routed[id] = ledger.Routed{Config: true, CreatedAt: b.gap.Add(-5 * time.Hour), Since: b.gap.Add(-5 * time.Hour)}
							}
						})
						b.run(t, heal.Due(ledger.Heal{Why: "backfill", From: 500}))
					}
					pass(t, 30*time.Minute)
					sent := b.sent()
					slices.Sort(sent)
					require.Equal(t, want, strings.Join(sent, " "))
					b.see(func() {
						for i := range b.queued {
							require.True(t, b.queued[i].EndpointID == dispatch.Everyone || slices.Equal(b.queued[i].Search, []string{"id=" + r.ID}),
								"whoever searches for it finds what waits: %q", b.queued[i].Search)
						}
						require.Len(t, b.audits, 1)
						require.NotContains(t, b.batches, 0, "no transaction for nothing")
						require.False(t, kind.leave && slices.Contains(b.notes, "events 1"), "it is not read once more: %q", b.notes)
						found := b.audits[0]
						require.Equal(t, how != "routine" || want != "", found != nil, "what is due is reported, and what an audit of the interval finds")
						if found == nil {
							return
						}
						require.EqualValues(t, min(1, len(sent)), found.Events)
						require.EqualValues(t, len(sent), found.Deliveries)
						require.Equal(t, time.Now().Add(-30*time.Minute).Unix(), found.Now.Unix())
						if how == "gap" && kind.note != "" {
							require.Contains(t, found.Note, kind.note)
						} else {
							require.Empty(t, found.Note)
						}
					})
				})
			})
		}
	}
}

// What comes to be known of a row between the two looks at it counts: somebody may have recorded
// it as dead meanwhile.
func TestARowThatIsDeadByTheSecondLookIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "x")
		b.Barriers = &meanwhile{world: b.world, then: func() { b.recorded["x"] = []string{dispatch.Everyone} }}
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Empty(t, b.sent())
	})
}

func TestARowWithoutATimeThatSomebodyHasByTheSecondLookIsNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, time.Hour)
		b.behindTheHorizon()
		log := b.watched(nil)
		b.insert(time.Time{}, "x")
		b.Barriers = &meanwhile{world: b.world, then: func() { b.recorded["x"] = []string{"erp"} }}
		b.run(t, nil)
		pass(t, time.Hour)
		require.Equal(t, 1, b.again())
		require.NotContains(t, log.String(), "neither an attempt nor a delivery")
	})
}

// Partitions stand at several places: none of them tells what was recorded of an earlier event from
// what is of a later one with its id.
func TestAGapOfPartitionsBeganAtNoOnePlace(t *testing.T) {
	t.Parallel()
	for why, partitions := range map[string]int{"the slot was missing": 4, heal.WhyPartitions: 0, "the slot was missing; " + heal.WhyPartitions: 0} {
		synctest.Test(t, func(t *testing.T) {
			b := setupAudit(t, 0)
			b.Position.Partitions = partitions
			b.insert(b.gap, "lost")
			b.run(t, heal.Due(heal.After(b.Position, why, time.Now())))
			pass(t, time.Minute)
			require.Len(t, b.sent(), 2)
			b.see(func() { require.Zero(t, b.scopes[0].Gap, why) })
		})
	}
}

// meanwhile has something happen at the second barrier.
type meanwhile struct {
	*world

	then  func()
	waits int
}

func (m *meanwhile) Wait(ctx context.Context) (source.Position, error) {
	if m.waits++; m.waits == 2 {
		m.see(m.then)
	}
	return m.world.Wait(ctx)
}

// What the table cannot give back is said, in the gap and in the log: that is what a person reads
// to know what to do by hand.
func TestTheReportOfAGapSaysWhatCouldNotBeHealed(t *testing.T) {
	t.Parallel()
	const messages = "logical messages that were committed in the gap cannot be found again"
	for name, test := range map[string]struct {
		options func(o *heal.AuditorOptions)
		first   func(b *auditBundle) *heal.Inquiry // nil: the audit of the interval
		untimed bool
		lost    bool
		settled bool // a horizon is known
		level   string
		text    string
		note    string
	}{
		"a gap": {
			first: (*auditBundle).due, lost: true,
			level: "warn", text: "a gap in the stream is healed from the outbox table",
		},
		"a gap with messages": {
			options: func(o *heal.AuditorOptions) { o.Outbox.Messages = "app" }, first: (*auditBundle).due, lost: true,
			level: "error", text: "as far as the outbox table goes", note: messages,
		},
		"a gap with messages alone": {
			options: func(o *heal.AuditorOptions) { o.Outbox.Messages, o.Outbox.Mapping.Table = "app", "" }, first: (*auditBundle).due,
			level: "error", text: "as far as the outbox table goes", note: messages,
		},
		"a gap of a table without times": {
			first: (*auditBundle).due, untimed: true, lost: true,
			level: "error", text: "as far as the outbox table goes", note: "the outbox table has no created_at column",
		},
		"a gap upon a backfill": {
			first: func(*auditBundle) *heal.Inquiry {
				return heal.Due(ledger.Heal{Why: "backfill; the slot was missing", From: 500})
			}, lost: true,
			level: "warn", text: "a gap in the stream is healed from the outbox table",
		},
		"a backfill": {
			options: func(o *heal.AuditorOptions) { o.Outbox.Messages = "app" },
			first:   func(*auditBundle) *heal.Inquiry { return heal.Due(ledger.Heal{Why: "backfill", From: 500}) },
			level:   "info", text: "events older than the slot are queued",
		},
		"a gap of a table without times, behind a horizon": {
			first: (*auditBundle).due, untimed: true, lost: true, settled: true,
			level: "warn", text: "a gap in the stream is healed from the outbox table",
		},
		"a backfill of a table without times": {
			first:   func(*auditBundle) *heal.Inquiry { return heal.Due(ledger.Heal{Why: "backfill", From: 500}) },
			untimed: true, lost: true, level: "info", text: "events older than the slot are queued",
		},
		"a backfill from a time of a table without times": {
			first: func(b *auditBundle) *heal.Inquiry {
				return heal.Due(ledger.Heal{Why: "backfill", Since: b.gap, From: 500})
			},
			untimed: true, lost: true, level: "info", text: "events older than the slot are queued", note: "the outbox table has no created_at column",
		},
		"an audit that finds something": {
			options: func(o *heal.AuditorOptions) { o.Outbox.Messages = "app" }, lost: true,
			level: "warn", text: "a gap in the stream is healed from the outbox table",
		},
		"an audit that finds nothing": {level: "debug", text: "audit: nothing is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupAudit(t, time.Hour)
				log := b.watched(func(o *heal.AuditorOptions) {
					if test.options != nil {
						test.options(o)
					}
				})
				b.untimed = test.untimed
				if test.settled {
					b.behindTheHorizon()
				}
				if test.lost {
					b.insert(b.gap.Add(time.Second), "lost")
				}
				if test.untimed {
					b.rows[0].CreatedAt = time.Time{}
				}
				var first *heal.Inquiry
				if test.first != nil {
					first = test.first(b)
				}
				b.run(t, first)
				pass(t, 30*time.Minute)
				b.see(func() {
					if first != nil && len(b.scopes) > 0 {
						require.Equal(t, first.Since, b.scopes[0].Since, "older rows are not asked for")
					}
					require.Equal(t, 1, strings.Count(log.String(), test.text), log)
					require.Contains(t, log.String(), fmt.Sprintf(`{"level":%q`, test.level))
					require.False(t, test.level == "info" && strings.Contains(log.String(), `"level":"warn"`), "what was asked for is no warning: %s", log)
					require.NotContains(t, log.String(), "0001-01-01", "a time that is not known is left out")
					require.Len(t, b.audits, 1)
					if found := b.audits[0]; found != nil {
						require.Equal(t, !found.Since.IsZero(), strings.Contains(log.String(), `"since":`))
						require.Contains(t, found.Note, test.note)
						require.Equal(t, test.note == "", found.Note == "", found.Note)
					}
					require.Equal(t, test.lost && test.note != "the outbox table has no created_at column", b.reads > 0, "what cannot be told is not read")
					require.Equal(t, b.reads > 0, len(b.queued) > 0)
				})
			})
		})
	}
}

// Where no gap is known, rows that do not say when they were created are told of once, and counted
// no further than is worth it.
func TestRowsWithoutATimeAreCountedWhereNoGapIsKnown(t *testing.T) {
	t.Parallel()
	for rows, want := range map[int]string{0: "", 1: `"rows":1,`, 3000: `"rows":1[0-9]{3},`} {
		synctest.Test(t, func(t *testing.T) {
			b := setupAudit(t, time.Hour)
			b.behindTheHorizon()
			log := b.watched(nil)
			b.insert(time.Now(), "new")
			for n := range rows {
				b.insert(time.Time{}, fmt.Sprint("old or new ", n))
			}
			b.see(func() {
				b.rows = append(b.rows, &row{Event: outbox.Event{ID: "left out", Type: "filtered out", Payload: []byte("{}")}})
			})
			b.run(t, nil)
			pass(t, 50*time.Minute)
			require.Equal(t, []string{"new>erp", "new>ledger"}, b.sent())
			b.see(func() {
				require.Equal(t, min(1, rows), strings.Count(log.String(), "neither an attempt nor a delivery"))
				require.Regexp(t, want, log.String())
				require.Empty(t, b.audits[0].Note, "the gap is of what was found, which is all there")
			})
		})
	}
}

// Before anything is known to be settled, rows that do not say when they were created are most of
// them old: the audit of an interval does not talk of them.
func TestRowsWithoutATimeAreNotCountedWhereNothingTellsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, time.Hour)
		log := b.watched(nil)
		b.insert(time.Time{}, "old or new")
		b.run(t, nil)
		pass(t, 50*time.Minute)
		require.Empty(t, b.sent())
		b.see(func() {
			require.Len(t, b.audits, 1)
			require.NotContains(t, log.String(), "neither an attempt nor a delivery")
		})
	})
}

// What does not say when it was created comes with the time of the heal: receivers are sent a time.
func TestAnEventWithoutATimeHasThatOfTheHeal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.behindTheHorizon()
		b.insert(time.Time{}, "timeless")
		b.insert(b.gap.Add(time.Second), "timed")
		b.rows[1].committed = b.gap.Add(40 * time.Second) // what it is judged by, such as the end of a day
		now := time.Now()
		b.run(t, b.due())
		pass(t, time.Minute)
		b.see(func() {
			require.Len(t, b.queued, 4)
			for _, d := range b.queued {
				want := now
				if d.Event.ID == "timed" {
					want = b.gap.Add(time.Second)
				}
				require.WithinDuration(t, want, d.Event.CreatedAt, 30*time.Second-time.Millisecond, d.Event.ID)
			}
		})
	})
}

// Where the table has no column for times, an event has that of its commit, and its place among the
// others by it.
func TestAnEventHasTheTimeOfItsCommitWhereTheTableHasNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(time.Time{}, "third", "first", "second")
		commits := []time.Time{b.gap.Add(3 * time.Second), b.gap.Add(time.Second), b.gap.Add(2 * time.Second)}
		b.see(func() {
			for i := range b.rows {
				b.rows[i].committed, b.rows[i].block = commits[i], 0
			}
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Equal(t, []string{"first>erp", "first>ledger", "second>erp", "second>ledger", "third>erp", "third>ledger"}, b.sent())
		b.see(func() {
			for i, d := range b.queued {
				require.Equal(t, b.gap.Add(time.Duration(i/2+1)*time.Second), d.Event.CreatedAt)
				if i >= 2 {
					require.Greater(t, d.Event.Seq, b.queued[i-2].Event.Seq, "its place is by that time too")
				}
			}
		})
	})
}

// The report of a gap counts what was healed, not what somebody else, such as a replay, had queued
// by then.
func TestWhatWasThereBeforeIsNotCountedAsHealed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap.Add(time.Second), "lost")
		b.see(func() { b.queued = []outbox.Delivery{{Event: outbox.Event{ID: "lost"}, EndpointID: "erp"}} })
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Equal(t, []string{"lost>erp", "lost>ledger"}, b.sent())
		b.see(func() {
			require.Len(t, b.audits, 1)
			require.EqualValues(t, 1, b.audits[0].Events)
			require.EqualValues(t, 1, b.audits[0].Deliveries)
		})
	})
}

// An event of a gap whose time has not come waits for it in the queue.
func TestAnEventOfAGapIsNotDueBeforeItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "later")
		at := time.Now().Add(48 * time.Hour)
		b.see(func() { b.rows[0].DeliverAt = at })
		b.run(t, b.due())
		pass(t, time.Minute)
		b.see(func() {
			require.Len(t, b.queued, 2)
			for _, d := range b.queued {
				require.Equal(t, outbox.ReasonScheduled, d.Reason)
				require.Equal(t, at, d.NextAttemptAt)
			}
		})
	})
}

// However often audits come, a relay holds few horizons, and looks at what was written within the
// hour again.
func TestAnAuditLooksAgainAtWhatWasWrittenWithinTheHour(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{time.Second, 10 * time.Minute, 45 * time.Minute, 3 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := setupAudit(t, interval)
			b.behindTheHorizon()
			b.run(t, nil)
			pass(t, 10*time.Hour)
			b.see(func() {
				var last scan.Horizon
				for _, s := range b.scopes[len(b.scopes)/2:] {
					last = s.Horizon
				}
				age := time.Since(last.At)
				require.GreaterOrEqual(t, age, time.Hour, "every %s", interval)
				require.Less(t, age, 2*time.Hour+2*interval, "every %s", interval)
			})
		})
	}
}
