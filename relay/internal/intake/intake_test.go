package intake_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/intake"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// journal is a dispatcher, and what runs beside delivery: it notes what it is told, in order. An
// event stays unsettled.
type journal struct {
	advanced func() // non-nil: called when the frontier may have advanced
	frontier *source.Frontier
	notes    []string
	room     chan struct{} // nil: there is room
	open     []*source.Unsettled
	changes  [][]dispatch.Change // as they came together
}

func (j *journal) note(format string, args ...any) {
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}

// taken returns the notes since the last call.
func (j *journal) taken() []string {
	notes := j.notes
	j.notes = nil
	return notes
}

func (j *journal) Dispatch(ev outbox.Event, tx *source.Unsettled) {
	tx.Add(1)
	j.open = append(j.open, tx)
	j.note("take %s at %d/%d", ev.ID, ev.CommitLSN, ev.Seq)
}

func (j *journal) Reject(ev outbox.Event, problem string, _ *source.Unsettled) {
	j.note("reject %s: %s", ev.ID, problem)
}

func (j *journal) Known(recorded map[outbox.Pair]struct{}) { j.note("known %d", len(recorded)) }

func (j *journal) Change(cs []dispatch.Change, _ *source.Unsettled) {
	j.changes = append(j.changes, slices.Clone(cs))
	for _, c := range cs {
		j.note("change %s before %d, gone %t", c.ID, c.Seq, c.Endpoint == nil)
	}
}

func (j *journal) SetVerified(id, verified string) { j.note("%s has shown %q", id, verified) }

func (j *journal) SetState(id string, state ledger.EndpointState) {
	j.note("%s is %s", id, state.Status)
}
func (j *journal) Due(id string) { j.note("due %s", id) }
func (j *journal) Advanced() {
	if j.advanced != nil {
		j.advanced()
	}
}
func (j *journal) Ready() <-chan struct{}  { return j.room }
func (j *journal) Moved(p source.Position) { j.note("moved %d", p) }
func (j *journal) WakeOperations()         { j.note("asked") }

// intakeBundle is what a slot's changes go through.
type intakeBundle struct {
	*journal
	events *postgres.Events

	frontier *source.Frontier
	stop     chan struct{}
	intake   intake.Options
}

func setupIntake(t *testing.T, o postgres.EventsOptions) *intakeBundle {
	t.Helper()
	b := &intakeBundle{frontier: source.NewFrontier(o.Settled), stop: make(chan struct{})}
	b.journal = &journal{frontier: b.frontier}
	feed, _, err := intake.Load(t.Context(), noVersions{}, 0, intake.FeedOptions{Logger: zerolog.Nop()})
	require.NoError(t, err)
	feed.Note([]dispatch.Endpoint{endpointOf("erp")})
	o.Mapping, o.Messages, o.Logger = outbox.DefaultMapping(), "app", zerolog.Nop()
	if o.Barriers == nil {
		o.Barriers = source.NewBarriers(1, nil)
	}
	b.intake = intake.Options{
		Dispatcher: b.journal, Frontier: b.frontier, Endpoints: feed, Upkeep: b.journal, Stopping: b.stop, Logger: zerolog.Nop(),
	}
	b.events = postgres.NewEvents(o, intake.New(b.intake))
	return b
}

// again has the intake look up what is recorded of what comes again.
func (b *intakeBundle) again(a *intake.Again) {
	b.intake.Again = a
	b.anew()
}

// useFeed has the intake know other endpoints.
func (b *intakeBundle) useFeed(feed *intake.Feed) {
	b.intake.Endpoints = feed
	b.anew()
}

// anew begins with a new intake.
func (b *intakeBundle) anew() {
	b.events = postgres.NewEvents(postgres.EventsOptions{
		Mapping: outbox.DefaultMapping(), Messages: "app", Barriers: source.NewBarriers(1, nil), Logger: zerolog.Nop(),
	}, intake.New(b.intake))
}

// transaction puts one through, which begins its commit record at lsn and ends 10 behind that.
func (b *intakeBundle) transaction(t *testing.T, lsn outbox.LSN, changes func()) []string {
	t.Helper()
	tx := postgres.Tx{CommitLSN: lsn, EndLSN: lsn + 10, Time: time.Unix(int64(lsn), 0)}
	require.NoError(t, b.events.Begin(tx))
	changes()
	require.NoError(t, b.events.Commit(tx))
	return b.taken()
}

func (b *intakeBundle) insert(t *testing.T, id string) {
	t.Helper()
	row := []outbox.Value{
		textValue(id), textValue("order.created"),
		{Kind: outbox.NullValue},
		{Kind: outbox.NullValue},
		textValue("{}"),
		{Kind: outbox.NullValue},
		textValue("2026-01-31 10:20:30+00"),
	}
	require.NoError(t, b.events.Change(postgres.Insert, outboxTable, row))
}

const (
	idOne = "0198a000-0000-7000-8000-000000000001"
	idTwo = "0198a000-0000-7000-8000-000000000002"
)

func TestEventsHaveTheirPlaceInTheirTransaction(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	notes := b.transaction(t, 100, func() {
		b.insert(t, idOne)
		b.insert(t, idTwo)
		require.NoError(t, b.events.Message("app", []byte(`{"type": "order.paid", "payload": {}}`)))
	})
	require.Equal(t, []string{
		"take " + idOne + " at 100/0", "take " + idTwo + " at 100/1", "take msg_64_2 at 100/2", "moved 110",
	}, notes)
	require.Equal(t, []string{"take " + idOne + " at 200/0", "moved 210"}, b.transaction(t, 200, func() { b.insert(t, idOne) }),
		"places are counted from the beginning of each")
}

func TestATransactionThatIsSettledBringsNothingAgain(t *testing.T) {
	t.Parallel()
	barriers := source.NewBarriers(1, nil)
	b := setupIntake(t, postgres.EventsOptions{Settled: 110, Barriers: barriers})
	insert := func() {
		b.insert(t, idOne)
		require.NoError(t, b.events.Message("app", []byte(`{"type": "order.paid", "payload": {}}`)))
		require.NoError(t, b.events.Message("tailpost", []byte(`{"event": {"id": "`+outbox.OperationalID+`1", "type": "`+outbox.TypeFailed+`", "payload": {}}}`)))
	}
	require.Equal(t, []string{"moved 110"}, b.transaction(t, 100, insert), "its commit record begins below the frontier")
	require.Len(t, b.transaction(t, 110, insert), 4, "this one begins where the frontier is")
}

func TestARowThatMovesToAnotherPartitionIsNoEvent(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	remove := func(id string, partition ...string) {
		key := make([]outbox.Value, len(outboxTable.Columns))
		for i := range key {
			key[i] = outbox.Value{Kind: outbox.NullValue}
		}
		key[0] = textValue(id)
		for _, p := range partition {
			key[1] = textValue(p)
		}
		require.NoError(t, b.events.Change(postgres.Delete, outboxTable, key))
	}
	require.Equal(t, []string{"take " + idTwo + " at 100/0", "moved 110"}, b.transaction(t, 100, func() {
		remove(idOne, "of old")
		b.insert(t, idOne) // an UPDATE to Postgres
		remove(idOne, "of old")
		b.insert(t, idTwo)
		remove(idOne, "of old")
	}))
	require.Equal(t, []string{"take " + idOne + " at 200/0", "moved 210"}, b.transaction(t, 200, func() { b.insert(t, idOne) }),
		"what was deleted in another transaction is gone")
	require.Equal(t, []string{"take " + idOne + " at 250/0", "moved 260"}, b.transaction(t, 250, func() {
		remove(idOne)
		b.insert(t, idOne)
	}), "a row with the key of the one that is gone has not moved")
	require.Equal(t, []string{"take " + idTwo + " at 300/0", "take " + idOne + " at 300/1", "moved 310"}, b.transaction(t, 300, func() {
		remove(idOne, "of old")
		b.insert(t, idTwo)
		b.insert(t, idOne)
	}), "nor has one that does not follow at once")
}

func TestTheFrontierWaitsForWhatATransactionBrought(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	b.transaction(t, 100, func() { b.insert(t, idOne) })
	b.transaction(t, 200, func() {})
	advanced := 0
	b.advanced = func() { advanced++ }
	require.NoError(t, b.events.Keepalive(300))
	require.Equal(t, 1, advanced, "who waits for the frontier looks at it again")
	at, _ := b.frontier.Position()
	require.Zero(t, at)
	b.frontier.Settle(b.open[0], 1)
	at, _ = b.frontier.Position()
	require.EqualValues(t, 300, at, "a keepalive is settled by itself")
	require.Equal(t, []string{"moved 300"}, b.taken())
}

func TestWhatCannotBeDeliveredIsRejectedAndTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	var log strings.Builder
	b.intake.Logger = zerolog.New(&log)
	b.anew()
	notes := b.transaction(t, 100, func() {
		require.NoError(t, b.events.Message("app", []byte(`no JSON`)))
		require.NoError(t, b.events.Message("app", []byte(`{"id": "x", "type": "a", "key": "`+strings.Repeat("k", 2000)+`", "payload": {}}`)))
		b.insert(t, idOne)
	})
	require.Len(t, notes, 4)
	require.Contains(t, notes[0], "reject msg_64_0: ")
	require.Contains(t, notes[1], "reject x: key of the event is longer")
	require.Equal(t, "take "+idOne+" at 100/2", notes[2])
	require.Equal(t, 2, strings.Count(log.String(), `{"level":"error","error":"`), "a person is told of each: %s", log.String())
}

func TestRowsOfEndpointsTakeEffectAtTheirPlace(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	paused, active := endpointRow("erp", "paused"), endpointRow("erp", "active")
	require.Equal(t, []string{
		"take " + idOne + " at 100/0", "erp is paused", "take " + idTwo + " at 100/1", "erp is active", "moved 110", "due erp", "asked",
	}, b.transaction(t, 100, func() {
		require.NoError(t, b.events.Message("tailpost", []byte(`{"due": {"endpoint": "erp"}}`)))
		b.insert(t, idOne)
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, paused))
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, paused)) // says nothing new
		b.insert(t, idTwo)
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, active))
	}), "what is due is looked at behind everything")
	require.Equal(t, []string{"moved 210"}, b.transaction(t, 200, func() {}), "and once")
}

func TestAnEndpointHasItsStatusBehindWhatItIs(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	row := func(name, status string) []outbox.Value { return apiRow("ep_1", name, status) }
	require.Equal(t, []string{
		"take " + idOne + " at 100/0", "change ep_1 before 1, gone false", "take " + idTwo + " at 100/1",
		"change ep_1 before 2, gone false", "ep_1 is paused", "moved 110", "change ep_1 before 2, gone true",
	}, b.transaction(t, 100, func() {
		b.insert(t, idOne)
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, row("one", "active")))
		b.insert(t, idTwo)
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, row("two", "paused")))
		require.NoError(t, b.events.Change(postgres.Delete, endpointTable, row("two", "paused")))
	}))
	require.Equal(t, []string{"moved 210", "change ep_1 before 0, gone false", "due ep_1", "asked"}, b.transaction(t, 200, func() {
		require.NoError(t, b.events.Message("tailpost", []byte(`{"due": {"endpoint": "ep_1"}}`)))
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, row("one", "active")))
	}), "what is due of an endpoint is looked at once it is there")
	b.transaction(t, 300, func() { require.NoError(t, b.events.Change(postgres.Delete, endpointTable, row("one", "active"))) })
	require.Equal(t, []string{"moved 410", "change ep_1 before 0, gone false"}, b.transaction(t, 400, func() {
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, row("one", "active")))
	}), "one that is made again as it was is there again")
}

// What an endpoint has shown counts for what it is then: its new URL, say, and not the old one.
func TestAnEndpointHasShownWhatItIsThen(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	verified := func(name, proof string) []outbox.Value {
		row := apiRow("ep_1", name, "active")
		row[slices.Index(endpointColumns, "verified")] = textValue(proof)
		return row
	}
	b.transaction(t, 100, func() {
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, verified("one", "a")))
	})
	require.Equal(t, []string{"change ep_1 before 0, gone false", `ep_1 has shown "b"`, "moved 210"}, b.transaction(t, 200, func() {
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, verified("two", "b")))
	}))
}

func TestARowThatCannotBeReadChangesNothing(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	bad := endpointRow("erp", "paused")
	bad[0].Kind = outbox.UnchangedTOAST
	require.Equal(t, []string{"moved 110"}, b.transaction(t, 100, func() {
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, bad))
		require.NoError(t, b.events.Change(postgres.Truncate, endpointTable, nil))
		require.NoError(t, b.events.Change(postgres.Delete, endpointTable, endpointRow("erp", "active")))
	}), "one of the configuration goes with the configuration")
}

func TestNothingIsReadWhileThereIsNoRoomOrTheRelayStops(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	require.Nil(t, b.events.Ready())
	b.room = make(chan struct{})
	close(b.room)
	require.NotNil(t, b.events.Ready())
	<-b.events.Ready()
	b.room = nil
	close(b.stop)
	require.NotNil(t, b.events.Ready(), "room or not, draining reads nothing more")
	select {
	case <-b.events.Ready():
		t.Fatal("reads on while it drains")
	default:
	}
}

func TestEveryBarrierOfATransactionIsSeenBeforeTheFrontierPassesIt(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 1)
	barriers := source.NewBarriers(7, func(_ ctx, name string) error {
		sent <- name
		return nil
	})
	b := setupIntake(t, postgres.EventsOptions{Barriers: barriers, Settled: 1000})
	passed := make(chan source.Position, 1)
	go func() {
		if end, err := barriers.Wait(t.Context()); err == nil {
			passed <- end
		}
	}()
	content, err := postgres.BarrierMessage(<-sent)
	require.NoError(t, err)
	b.transaction(t, 100, func() { require.NoError(t, b.events.Message("tailpost", []byte(content))) })
	barriers.Settled(110)
	require.Eventually(t, func() bool { return len(passed) == 1 }, 30*time.Second, time.Millisecond, "also in a transaction that is settled already")
	require.EqualValues(t, 110, <-passed)
}

// On a database where nothing more happens, nothing more is settled than with the commit itself.
func TestABarrierIsSeenByTheTimeThatItsCommitIsSettled(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 1)
	barriers := source.NewBarriers(7, func(_ ctx, name string) error {
		sent <- name
		return nil
	})
	b := setupIntake(t, postgres.EventsOptions{Barriers: barriers})
	b.advanced = func() { barriers.Settled(110) }
	passed := make(chan error, 1)
	go func() {
		_, err := barriers.Wait(t.Context())
		passed <- err
	}()
	content, err := postgres.BarrierMessage(<-sent)
	require.NoError(t, err)
	b.transaction(t, 100, func() { require.NoError(t, b.events.Message("tailpost", []byte(content))) })
	select {
	case err := <-passed:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the barrier was not passed")
	}
}

func TestMessagesThatAreNotOursAreIgnored(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	require.Equal(t, []string{"moved 110"}, b.transaction(t, 100, func() {
		for _, content := range []string{"", "[]", `{"event": {"id": "1", "type": "order.created", "payload": {}}}`, `{"later": 1}`} {
			require.NoError(t, b.events.Message("tailpost", []byte(content)))
		}
		require.NoError(t, b.events.Message("other", []byte(`{"type": "order.created", "payload": {}}`)))
	}))
}

// Where too much is recorded of what the source brings again, it is looked up as it comes, in the
// order in which it comes, and no further than something is recorded.
func TestWhatIsBroughtAgainIsLookedUpAsItComes(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	var asked [][]string
	var fail, failed error
	b.again(&intake.Again{
		Until: 200, Fail: func(err error) { failed = err },
		Of: func(ids []string) (map[outbox.Pair]struct{}, error) {
			asked = append(asked, ids)
			return map[outbox.Pair]struct{}{{EventID: ids[0], EndpointID: "erp"}: {}}, fail
		},
	})
	require.Equal(t, []string{
		"known 1", "take " + idOne + " at 100/0", "take " + idTwo + " at 100/1", "known 0",
		"known 1", "take msg_64_2 at 100/2", "known 0", "moved 110",
	}, withoutChanges(b.transaction(t, 100, func() {
		b.insert(t, idOne)
		b.insert(t, idTwo)
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, endpointRow("erp", "paused")))
		require.NoError(t, b.events.Message("app", []byte(`{"type": "order.paid", "payload": {}}`)))
	})))
	require.Equal(t, [][]string{{idOne, idTwo}, {"msg_64_2"}}, asked)
	notes := b.transaction(t, 150, func() {
		for n := range 1001 {
			b.insert(t, fmt.Sprintf("0198a000-0000-7000-8000-%012d", n))
		}
	})
	require.Len(t, notes, 1001+6+1, "500 at a time")
	asked = nil
	notes = b.transaction(t, 200, func() {
		require.NoError(t, b.events.Message("app", []byte(`{"payload": {}}`)))
		b.insert(t, idOne)
	})
	require.Equal(t, [][]string{{"msg_c8_0", idOne}}, asked, "also of what is no event, and up to the last transaction")
	require.Len(t, notes, 5)
	require.Equal(t, "known 1", notes[0])
	require.Contains(t, notes[1], "reject msg_c8_0: ")
	require.Equal(t, []string{"take " + idOne + " at 200/1", "known 0", "moved 210"}, notes[2:])
	require.Equal(t, []string{"take " + idOne + " at 210/0", "moved 220"}, b.transaction(t, 210, func() { b.insert(t, idOne) }), "nothing is recorded of this one")

	fail = errors.New("no database")
	before, _ := b.frontier.Position()
	require.Empty(t, b.transaction(t, 180, func() { b.insert(t, idOne) }))
	require.Equal(t, fail, failed)
	require.Empty(t, b.transaction(t, 300, func() { b.insert(t, idOne) }), "nothing is taken behind what was not")
	require.NoError(t, b.events.Keepalive(900))
	after, _ := b.frontier.Position()
	require.Equal(t, before, after)
}

// withoutChanges leaves out what was noted of endpoints.
func withoutChanges(notes []string) []string {
	return slices.DeleteFunc(notes, func(n string) bool { return strings.HasPrefix(n, "change") || strings.HasPrefix(n, "erp is") })
}
