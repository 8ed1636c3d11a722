package dispatch_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// A request that does not end holds up a stop for the grace and no longer, and hardly at all once
// the hold broke: nobody is sent to until the slot is taken again. What was broken off is in the
// table.
func TestRun_endsWithinItsGrace(t *testing.T) {
	t.Parallel()
	const slack = 100 * time.Millisecond // for the recording
	for name, test := range map[string]struct {
		cause   error
		takes   time.Duration
		reached bool          // the receiver, perhaps
		made    int           // attempts
		grace   time.Duration // 0: 3 seconds
	}{
		"stopped":             {context.Canceled, 3 * time.Second, false, 0, 0},
		"it may have arrived": {context.Canceled, 3 * time.Second, true, 1, 0},
		"it begins anew":      {fmt.Errorf("because: %w", dispatch.ErrOrderly), 3 * time.Second, false, 0, 0},
		"the hold has broken": {errors.New("the slot is lost"), 500 * time.Millisecond, false, 0, 0},
		"with less grace":     {errors.New("the slot is lost"), 200 * time.Millisecond, false, 0, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &life{t: t, tables: newTables(rand.New(rand.NewPCG(1, 1))), tracker: source.NewFrontier(0)}
				l.Dispatcher = dispatch.New(t.Context(), dispatch.Options{
					Ledger: l.tables, Frontier: l.tracker, Ack: l.tables.ack, Grace: cmp.Or(test.grace, 3*time.Second),
				})
				ctx, stop := context.WithCancelCause(t.Context())
				done := make(chan error, 1)
				go func() { done <- l.Run(ctx) }()
				e := l.endpoint()
				e.Config.ParkAfter = time.Hour
				e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
					<-ctx.Done()
					a := answer(r, 0)
					a.Attempt.Error, a.Reached = "aborted", test.reached
					return a
				})
				l.change(e)
				l.event("e1")
				l.later(time.Second)
				began := time.Now()
				stop(test.cause)
				require.NoError(t, <-done)
				require.GreaterOrEqual(t, time.Since(began), test.takes)
				require.Less(t, time.Since(began), test.takes+slack)
				require.Len(t, l.tables.rows, 1)
				l.requireRow("e1", outbox.Pending, outbox.ReasonShutdown)
				require.Len(t, l.tables.attempts, test.made, "of what is not known to be sent there is none")
			})
		})
	}
}

// What is answered while the relay stops counts, though it had broken the request off; what was
// never sent waits in the table.
func TestRun_recordsWhatIsAnsweredAtTheLastMoment(t *testing.T) {
	t.Parallel()
	for name, events := range map[string]int{"a batch": 3, "single events": 0} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Config.ParkAfter, e.Config.Batch = time.Hour, config.Batch{Events: events, Bytes: 10_000}
			e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
				<-ctx.Done()
				return answer(r, 200)
			})
			l.change(e)
			l.event("e1")
			l.later(time.Second)
			l.event("e2")
			l.later(time.Second)
			l.stop()
			require.Len(t, l.tables.attempts, 1, name)
			require.Equal(t, outbox.Delivered, l.tables.attempts[0].Outcome)
			require.Len(t, l.tables.rows, 1, name)
			l.requireRow("e2", outbox.Pending, outbox.ReasonShutdown)
			require.Equal(t, l.at+5, l.tables.position(), "the next relay has nothing to bring again")
		})
	}
}

// refuses is a ledger that takes nothing.
type refuses struct{ dispatch.Ledger }

func (refuses) Record(context.Context, ledger.Hold, *ledger.Batch) error { return ledger.ErrDeposed }

// A relay whose ledger refuses it ends, whatever it waits for.
func TestRun_endsOnceTheLedgerRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &life{t: t, tables: newTables(rand.New(rand.NewPCG(1, 1))), tracker: source.NewFrontier(0)}
		l.Dispatcher = dispatch.New(t.Context(), dispatch.Options{
			Ledger: refuses{l.tables}, Frontier: l.tracker, Ack: l.tables.ack, Grace: time.Hour,
		})
		done := make(chan error, 1)
		go func() { done <- l.Run(t.Context()) }()
		e := l.endpoint()
		e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
			<-ctx.Done()
			return answer(r, 0)
		})
		l.change(e)
		l.event("e1")
		l.later(time.Minute)
		select {
		case err := <-done:
			require.ErrorIs(t, err, ledger.ErrDeposed)
		default:
			require.Fail(t, "it goes on")
		}
	})
}

// slowLedger keeps its first transaction waiting, and knows how large the largest was.
type slowLedger struct {
	dispatch.Ledger

	free    chan struct{}
	largest int
}

func (s *slowLedger) Record(ctx context.Context, hold ledger.Hold, b *ledger.Batch) error {
	<-s.free
	s.largest = max(s.largest, len(b.Attempts)+len(b.Park)+len(b.Versions))
	return s.Ledger.Record(ctx, hold, b)
}

// However much has come together while the database was slow, no transaction is long.
func TestRecord_keepsItsTransactionsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, most = 5000, 2048
		s := &slowLedger{free: make(chan struct{})}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			s.Ledger = l.tables
			o.Ledger = s
		})
		l.change(l.endpoint())
		l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusPaused})
		for i := range events {
			l.event(fmt.Sprint("e", i))
		}
		synctest.Wait()
		close(s.free)
		l.later(time.Minute)
		require.Len(t, l.tables.rows, events)
		require.LessOrEqual(t, s.largest, most)
		l.stop()
	})
}

// A lane that is busy waits for the database and for nothing else: what it has to have recorded
// before it may send more is recorded at once, not after the pause in which others join.
func TestRecord_comesAtOnceForALaneThatIsBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, unrecorded, pause = 3200, 32, 10 * time.Millisecond
		l := newLife(t)
		e := l.endpoint()
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 200) })
		l.change(e)
		l.later(time.Second)
		began := time.Now()
		l.commit(func(tx *source.Unsettled) {
			for i := range events {
				l.Dispatch(outbox.Event{ID: fmt.Sprint("e", i), Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), Seq: int64(i)}, tx)
			}
		})
		for l.tables.position() < l.at+5 {
			l.later(pause)
		}
		require.Less(t, time.Since(began), events/unrecorded*pause*3/4)
		l.stop()
	})
}

// A connection that the receiver closed while it was idle says nothing of how well the receiver is:
// the request is made again at once.
func TestRetry_overAConnectionThatHadBeenIdleComesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent []time.Time
		l := newLife(t)
		e := l.endpoint()
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			if sent = append(sent, r.Now); len(sent) > 1 {
				return answer(r, 200)
			}
			a := answer(r, 0)
			a.Attempt.Error, a.Again, a.Reached = "sending the request: EOF", true, true
			return a
		})
		l.change(e)
		l.event("e1")
		l.later(10 * time.Second)
		require.Len(t, sent, 2)
		require.Less(t, sent[1].Sub(sent[0]), time.Second)
		require.Equal(t, []outbox.Outcome{outbox.Retry, outbox.Delivered}, []outbox.Outcome{l.tables.attempts[0].Outcome, l.tables.attempts[1].Outcome})
		l.stop()
	})
}

// However many connections the receiver closed while they were idle, its circuit stays closed, and
// it has not begun to fail.
func TestCircuit_isLeftAloneByConnectionsThatHadBeenIdle(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]config.Batch{"single events": {}, "batches": {Events: 1, Bytes: 10_000}} {
		synctest.Test(t, func(t *testing.T) {
			const events = 6
			made := 0
			l := newLife(t)
			e := l.endpoint()
			e.Config.Circuit, e.Config.Batch = config.Circuit{Failures: 2, Reopen: time.Hour}, batch
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				if made++; made > events {
					return answer(r, 200)
				}
				a := answer(r, 0)
				a.Attempt.Error, a.Again, a.Reached = "sending the request: EOF", true, true
				return a
			})
			e.Config.Retry.Schedule = []time.Duration{time.Minute, time.Minute, time.Minute, time.Minute, time.Minute, time.Minute}
			l.change(e)
			for i := range events {
				l.event(fmt.Sprint("e", i))
			}
			l.later(10 * time.Second)
			require.Equal(t, 2*events, made, name)
			require.Empty(t, l.tables.rows, name)
			require.Empty(t, l.tables.changes, name)
			l.stop()
		})
	}
}
