package heal_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

func TestAnAuditDeliversWhatTheStreamDidNotBringAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "lost", "half", "got")
		b.recorded["half"] = []string{"erp"}
		b.recorded["got"] = []string{"ledger", "erp"}
		gap := b.due()
		b.run(t, gap)
		pass(t, time.Minute)
		require.ElementsMatch(t, []string{"lost>erp", "lost>ledger", "half>ledger"}, b.sent())
		b.see(func() {
			require.Len(t, b.audits, 1)
			require.Equal(t, gap.Heal, b.audits[0].Heal, "it is reported why, and from where on")
			require.EqualValues(t, 2, b.audits[0].Events)
			require.EqualValues(t, 3, b.audits[0].Deliveries)
			require.EqualValues(t, 1000, b.audits[0].To, "the stream has everything from the first barrier on")
			for _, d := range b.queued {
				require.Equal(t, outbox.ReasonAudit, d.Reason)
				require.Equal(t, outbox.Pending, d.State)
				require.Equal(t, gap.At, d.NextAttemptAt, "due since it was found")
				require.Equal(t, outbox.LSN(500), d.Event.CommitLSN, "before all that the stream brings after the gap")
			}
		})
	})
}

// The audit of an interval reads what is new where an index finds that; where none does, and after
// a gap, it reads everything.
func TestTheAuditOfAnIntervalReadsWhatIsNew(t *testing.T) {
	t.Parallel()
	for name, indexed := range map[string]bool{"with an index": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupAudit(t, time.Hour)
				b.indexed = indexed
				b.insert(time.Now().Add(-30*time.Hour), "old", "older")
				b.run(t, b.due())
				pass(t, time.Minute)
				b.see(func() {
					require.Subset(t, b.blocks, []int64{0, 1}, "the gap")
					b.blocks = nil
				})
				b.insert(time.Now(), "new")
				pass(t, time.Hour)
				require.ElementsMatch(t, []string{"new>erp", "new>ledger"}, b.sent())
				b.see(func() {
					if indexed {
						require.Equal(t, []int64{2, 0, 1, 2}, b.blocks, "and a part of the round, which such a table is")
					} else {
						require.Subset(t, b.blocks, []int64{0, 1, 2})
					}
				})
			})
		})
	}
}

func TestAnAuditWaitsForTheStream(t *testing.T) {
	t.Parallel()
	t.Run("what was committed before it began", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupAudit(t, 0)
			b.insert(b.gap, "before")
			b.see(func() { b.hold = make(chan struct{}) })
			b.run(t, b.due())
			pass(t, time.Hour)
			b.see(func() { require.Zero(t, b.reads, "the stream is still to bring what was committed") })
			b.see(func() {
				b.onTheirWay = []string{"before"}
				close(b.hold)
				b.hold = nil
			})
			pass(t, time.Minute)
			require.Empty(t, b.sent())
		})
	})
	t.Run("what is committed while it reads", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupAudit(t, 0)
			b.insert(b.gap, "lost")
			b.insert(time.Now(), "coming")
			b.Barriers = &meanwhile{world: b.world, then: func() { b.onTheirWay = []string{"coming"} }}
			b.run(t, b.due())
			pass(t, time.Minute)
			require.ElementsMatch(t, []string{"lost>erp", "lost>ledger"}, b.sent())
			b.see(func() {
				at := slices.Index(b.notes, "events 2")
				require.Positive(t, at, "%q", b.notes)
				require.Equal(t, "barrier", b.notes[at-1], "what is suspicious is read again behind a barrier")
			})
		})
	})
}

func TestEndpointsWithAnOrderGoOnOnceTheGapIsHealed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "lost")
		b.run(t, b.due())
		pass(t, time.Minute)
		b.see(func() {
			due, healed := slices.Index(b.notes, "due ledger"), slices.Index(b.notes, "healed")
			require.Positive(t, due)
			require.Greater(t, healed, due, "%q", b.notes)
		})
		select {
		case <-b.Auditor.Healed():
		default:
			t.Fatal("the gap is healed, so retention may go on")
		}
	})
}

func TestAnAuditThatFailsIsMadeAgainAndNothingIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "lost")
		log := b.watched(nil)
		b.see(func() { b.fail = errors.New("statement timeout") })
		var failures, complete int
		b.Ended = func(err error) {
			b.see(func() {
				if err == nil {
					complete++
				} else {
					failures++
				}
			})
		}
		b.run(t, b.due())
		pass(t, 9*time.Minute)
		b.see(func() {
			require.Contains(t, b.notes, "healed", "it must not hold the order up for as long as it fails")
		})
		select {
		case <-b.Auditor.Healed():
			t.Fatal("what is deleted cannot be healed any more")
		default:
		}
		b.see(func() { b.fail = nil })
		pass(t, 2*time.Minute)
		require.Len(t, b.sent(), 2)
		<-b.Auditor.Healed()
		b.see(func() {
			require.Equal(t, []int{1, 1}, []int{failures, complete})
			require.Equal(t, 1, strings.Count(log.String(), "what the stream lost stays undelivered"), log)
			require.Contains(t, log.String(), "statement timeout")
		})
	})
}

func TestAuditsComeAtTheirInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, time.Hour)
		b.insert(b.gap.Add(-150*time.Minute), "older than the slot")
		b.run(t, b.due())
		pass(t, 10*time.Minute)
		b.see(func() { require.Len(t, b.audits, 1) })
		pass(t, 49*time.Minute)
		b.see(func() { require.Len(t, b.audits, 1) })
		pass(t, 2*time.Minute)
		b.see(func() {
			require.Len(t, b.audits, 2)
			require.Nil(t, b.audits[1], "nothing was missing, so there is no gap to tell of")
			require.Equal(t, []string{"horizon", "barrier", "healed", "horizon", "barrier", "healed"}, b.notes, "one barrier is enough for each")
		})
		require.Empty(t, b.sent(), "what is older than the slot is nobody's")
	})
}

// A transaction may commit up to an hour after the time that its rows have: the audit of an
// interval looks as far back as that behind the one before it.
func TestAnAuditFindsWhatCommittedLongAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 30*time.Minute)
		b.Hold.Settled = 700
		b.run(t, nil)
		pass(t, time.Minute)
		b.see(func() { require.Len(t, b.audits, 1) })
		created := time.Now().Add(-20 * time.Minute)
		b.insert(created, "before the audit")
		pass(t, 30*time.Minute)
		require.ElementsMatch(t, []string{"before the audit>erp", "before the audit>ledger"}, b.sent())
		b.see(func() {
			require.Len(t, b.scopes, 2)
			require.False(t, b.scopes[1].Since.After(created), "the table is asked for it")
			require.EqualValues(t, 700, b.audits[1].From, "where this relay took the slot")
			require.EqualValues(t, 700, b.queued[0].Event.CommitLSN, "before all that its stream brings")
		})
	})
}

// An audit that the end of the hold cuts short has neither failed nor succeeded.
func TestAnAuditThatIsCutShortIsNotTalkedOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.see(func() { b.hold = make(chan struct{}) })
		log := b.watched(func(o *heal.AuditorOptions) {
			o.Ended = func(err error) { t.Errorf("ended: %v", err) }
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx, b.due()) }()
		synctest.Wait()
		stop()
		require.NoError(t, <-done)
		require.Empty(t, log.String())
	})
}

// Without a table there is nothing to audit at an interval.
func TestLogicalMessagesAloneAreNotAudited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, time.Minute)
		b.Outbox.Messages, b.Outbox.Mapping.Table = "app", ""
		b.run(t, nil)
		pass(t, time.Hour)
		b.see(func() { require.Empty(t, b.notes) })
	})
}

func TestADeposedRelayAuditsNothingMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, time.Minute)
		b.insert(b.gap, "lost")
		b.see(func() { b.deposed = true })
		b.run(t, b.due())
		pass(t, time.Minute)
		require.NoError(t, <-b.ended)
		require.Empty(t, b.sent())
	})
}

// behindTheHorizon has an audit know that everything was settled two minutes before the gap began.
func (b *auditBundle) behindTheHorizon() {
	b.Position.Horizon = scan.Horizon{XID: 800, At: b.gap.Add(-2 * time.Minute)}
	b.Auditor = heal.NewAuditor(b.AuditorOptions)
}

func TestBehindTheHorizonNoClockHidesALostRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, time.Hour)
		b.behindTheHorizon()
		b.see(func() { b.routed["ledger"] = ledger.Routed{CreatedAt: b.gap, Since: b.gap.Add(-time.Minute)} })
		b.insert(b.gap.Add(-90*time.Minute), "long transaction")
		b.insert(time.Time{}, "no time")
		b.insert(b.gap.Add(72*time.Hour), "ahead")
		b.insert(b.gap.Add(-3*time.Hour), "updated") // nobody has it, and it is older than the slot
		b.insert(b.gap.Add(-90*time.Minute), "half")
		b.recorded["half"] = []string{"erp"} // was there before the ledger wanted it
		b.insert(b.gap.Add(-3*time.Hour), "half, updated")
		b.recorded["half, updated"] = []string{"erp"}
		b.run(t, b.due())
		pass(t, time.Minute)
		require.ElementsMatch(t, []string{
			"long transaction>erp", "no time>erp", "no time>ledger", "ahead>erp", "ahead>ledger",
		}, b.sent())
		b.see(func() {
			require.Equal(t, scan.Scope{Since: b.gap.Add(-time.Hour), Horizon: b.Position.Horizon, Gap: scan.GapStart{At: b.gap, Place: b.Position.Settled, Now: b.gap.Add(time.Minute)}}, b.scopes[0])
			require.Contains(t, b.audits[0].Note, "1 rows could not be judged")
			require.EqualValues(t, 800, b.horizon.XID, "what was written within the hour is looked at again")
			require.Equal(t, "horizon", b.notes[0], "before the barrier: what it leaves out was visible then")
		})
		// The next one is no gap: what nobody has and does not say when it was may be old.
		b.insert(time.Time{}, "no time either")
		b.insert(time.Now(), "new")
		pass(t, time.Hour)
		require.ElementsMatch(t, []string{"new>erp", "new>ledger"}, b.sent()[5:])
		b.see(func() {
			require.EqualValues(t, 800, b.scopes[1].Horizon.XID)
			require.Zero(t, b.scopes[1].Gap)
			require.EqualValues(t, 901, b.horizon.XID, "an audit costs what is new since one an hour ago")
		})
	})
}

func TestAnEndpointAsOldAsTheHorizonGetsAllThatAGapHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.behindTheHorizon()
		b.see(func() { b.routed["ledger"] = ledger.Routed{CreatedAt: b.gap, Since: b.gap.Add(-3 * time.Minute)} })
		b.insert(b.gap.Add(-90*time.Minute), "long transaction")
		b.run(t, b.due())
		pass(t, time.Minute)
		require.ElementsMatch(t, []string{"long transaction>erp", "long transaction>ledger"}, b.sent())
	})
}

func TestWithoutAHorizonWhatDoesNotSayItsTimeIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(time.Time{}, "no time")
		b.insert(b.gap.Add(time.Second), "lost")
		b.run(t, b.due())
		pass(t, time.Minute)
		require.ElementsMatch(t, []string{"lost>erp", "lost>ledger"}, b.sent())
		b.see(func() { require.Contains(t, b.audits[0].Note, "1 rows could not be judged") })
		require.Equal(t, 1, b.again(), "what cannot be judged is not read in full")
	})
}

func TestAGapUponABackfillHealsBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.behindTheHorizon()
		b.see(func() {
			for id := range b.routed {
				b.routed[id] = ledger.Routed{CreatedAt: b.gap.Add(-3 * time.Hour), Since: b.gap.Add(-3 * time.Hour)}
			}
		})
		b.insert(b.gap.Add(-5*time.Hour), "older than the slot")
		b.insert(time.Time{}, "no time")
		b.insert(b.gap.Add(time.Second), "lost")
		b.run(t, heal.Due(ledger.Heal{Why: "backfill; the slot was missing", From: 500}))
		pass(t, time.Minute)
		require.ElementsMatch(t, []string{
			"older than the slot>erp", "older than the slot>ledger", "no time>erp", "no time>ledger", "lost>erp", "lost>ledger",
		}, b.sent())
		b.see(func() {
			require.Zero(t, b.scopes[0].Horizon, "the horizon would leave out what is older")
			require.Empty(t, b.audits[0].Note)
		})
	})
}

// Every endpoint that got something from the table is told to look there.
func TestEveryEndpointIsToldOfWhatAGapHadForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "lost")
		b.see(func() {
			b.rows[0].Tenant = "acme"
			b.routed["crm"] = b.routed["ledger"]
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Len(t, b.sent(), 3)
		b.see(func() {
			for _, id := range []string{"crm", "erp", "ledger"} {
				require.Contains(t, b.notes, "due "+id)
			}
		})
	})
}

// Events of a gap come in the order of their times, whatever that of the table is, and those of one
// time in that of the table.
func TestAGapIsQueuedInTheOrderOfItsTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.see(func() {
			for i, seconds := range []int{2, 1, 2, 1, 0} {
				b.rows = append(b.rows, &row{Event: outbox.Event{
					ID: fmt.Sprint("e", i), Type: "order.created", Payload: []byte("{}"), CreatedAt: b.gap.Add(time.Duration(seconds) * time.Second),
				}})
			}
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		var queued []outbox.Delivery
		b.see(func() { queued = slices.Clone(b.queued) })
		queued = slices.DeleteFunc(queued, func(d outbox.Delivery) bool { return d.EndpointID != "ledger" })
		slices.SortFunc(queued, func(a, b outbox.Delivery) int { return cmp.Compare(a.Event.Seq, b.Event.Seq) })
		var ids []string
		for i := range queued {
			ids = append(ids, queued[i].Event.ID)
			require.True(t, i == 0 || queued[i].Event.Seq > queued[i-1].Event.Seq, "no two have one place")
		}
		require.Equal(t, []string{"e4", "e1", "e3", "e0", "e2"}, ids)
	})
}

func TestAGapIsQueuedInSmallTransactions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows, bytes, most int
		read              string // at once
	}{
		"by rows":  {rows: 2000, bytes: 10, most: 500, read: "events 256"},
		"by bytes": {rows: 40, bytes: 100_000, most: 10, read: "events 10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupAudit(t, 0)
				b.see(func() {
					for i := range test.rows {
						b.rows = append(b.rows, &row{Event: outbox.Event{
							ID: fmt.Sprint(i), Type: "order.created", Payload: make([]byte, test.bytes), CreatedAt: b.gap,
						}})
					}
				})
				b.run(t, b.due())
				pass(t, time.Minute)
				require.Len(t, b.sent(), 2*test.rows)
				b.see(func() {
					require.Contains(t, b.notes, "due ledger")
					require.NotContains(t, b.notes[slices.Index(b.notes, "due ledger"):], "due erp", "an order begins once all of it is there")
					require.LessOrEqual(t, slices.Max(b.batches), test.most)
					require.Contains(t, b.notes, test.read)
					require.EqualValues(t, test.rows, b.audits[0].Events)
				})
			})
		})
	}
}

func TestARowThatIsNoEventIsDeadWithItsReasonAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "bad", "good", "long")
		b.see(func() {
			b.rows[0].err = errors.New("type is NULL")
			b.rows[2].Key = strings.Repeat("k", 1025)
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		require.ElementsMatch(t, []string{"bad>*", "good>erp", "good>ledger", "long>*"}, b.sent())
		b.see(func() {
			for _, d := range b.queued {
				if why := map[string]string{"bad": "type is NULL", "long": "key of the event is longer than 1024 bytes"}[d.Event.ID]; why != "" {
					require.Equal(t, outbox.StateDead, d.State)
					require.Equal(t, outbox.ReasonInvalid, d.Reason)
					require.Contains(t, d.LastError, why)
					require.Empty(t, d.Event.Key, "what cannot be on record is left out")
				}
			}
		})
	})
}

func TestAFilterDecidesWhatAGapDelivers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.see(func() {
			b.rows = append(b.rows, &row{Event: outbox.Event{ID: "one", Type: "filtered", CreatedAt: b.gap}})
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Equal(t, []string{"one>ledger"}, b.sent())
	})
}
