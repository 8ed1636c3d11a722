package intake_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/intake"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// elsewhere is where others find what they deliver, in the journal. Nothing is stored before the
// test says so.
type elsewhere struct {
	*journal

	touched bool
	stored  []func()
}

func (e *elsewhere) Begin(tx source.Tx) {
	e.touched = false
	e.note("begin %d", tx.Commit)
}

func (e *elsewhere) put(stored func(), format string, args ...any) {
	e.touched = true
	e.stored = append(e.stored, stored)
	e.note(format, args...)
}

func (e *elsewhere) Row(endpoint string, row source.Row, stored func()) {
	e.put(stored, "row %d of %s", row.Place, endpoint)
}

func (e *elsewhere) Due(endpoint string, stored func()) { e.put(stored, "due %s", endpoint) }
func (e *elsewhere) Touched() bool                      { return e.touched }
func (e *elsewhere) Flush()                             { e.note("flush") }
func (e *elsewhere) Keepalive(p source.Position)        { e.note("nothing below %d", p) }

func (e *elsewhere) Commit(tx source.Tx, stored func()) {
	e.note("end %d, waited for: %t", tx.End, stored != nil)
	if stored != nil {
		e.stored = append(e.stored, stored)
	}
}

// TestWhatOthersDeliverIsToldThemInItsPlace: rows of endpoints, what is due and the ends of
// transactions go to others, and none of them is settled before it is stored.
func TestWhatOthersDeliverIsToldThemInItsPlace(t *testing.T) {
	t.Parallel()
	j := &journal{}
	e := &elsewhere{journal: j}
	feed, _, err := intake.Load(t.Context(), noVersions{}, 0, intake.FeedOptions{})
	require.NoError(t, err)
	frontier := source.NewFrontier(0)
	in := intake.New(intake.Options{
		Dispatcher: j, Frontier: frontier, Endpoints: feed, Upkeep: j, Elsewhere: e,
		Pending: func(tx *source.Unsettled) func() {
			tx.Add(1)
			return func() { frontier.Settle(tx, 1) }
		},
	})
	position := func() source.Position {
		at, _ := frontier.Position()
		return at
	}

	in.Begin(source.Tx{Commit: 100, At: time.Unix(1, 0)})
	in.Endpoint(source.Row{Table: endpointTable, Values: endpointRow("erp", "paused"), Place: 0})
	in.Due("erp")
	in.Due("") // something is to be carried out, at nobody's in particular
	in.Commit(source.Tx{Commit: 100, End: 110})
	require.Equal(t, []string{
		"begin 100", "row 0 of erp", "moved 110", "due erp", "asked", "end 110, waited for: true",
	}, j.taken())
	require.Len(t, e.stored, 3)
	for i, part := range []int{2, 0, 1} { // the end, the row, what is due
		require.Zero(t, position(), "of three parts %d are stored", i)
		e.stored[part]()
	}
	require.EqualValues(t, 110, position())

	// What is stored before the end was passed on settles nothing: the end may be lost yet.
	e.stored = nil
	in.Begin(source.Tx{Commit: 150})
	in.Endpoint(source.Row{Table: endpointTable, Values: endpointRow("erp", "paused"), Place: 0})
	e.stored[0]()
	in.Commit(source.Tx{Commit: 150, End: 160})
	require.EqualValues(t, 110, position())
	e.stored[1]()
	require.EqualValues(t, 160, position())
	j.taken()

	in.Begin(source.Tx{Commit: 200, At: time.Unix(2, 0)})
	in.Commit(source.Tx{Commit: 200, End: 210})
	in.Keepalive(300)
	require.Equal(t, []string{"begin 200", "moved 210", "end 210, waited for: false", "moved 300", "nothing below 300"}, j.taken())
	require.EqualValues(t, 300, position(), "nothing of it was for anybody")

	in.Due("erp")
	require.Equal(t, []string{"due erp"}, j.taken(), "outside a transaction, at once")
}

// TestWhatOthersDeliverIsNotHeldUpByItsEnd: while there is no room nothing of a transaction may
// wait for its end, which is not read either.
func TestWhatOthersDeliverIsNotHeldUpByItsEnd(t *testing.T) {
	t.Parallel()
	j := &journal{}
	in := intake.New(intake.Options{
		Dispatcher: j, Frontier: source.NewFrontier(0), Upkeep: j, Elsewhere: &elsewhere{journal: j},
		Pending: func(*source.Unsettled) func() { return func() {} },
	})
	require.Nil(t, in.Ready())
	require.Empty(t, j.taken())
	j.room = make(chan struct{})
	in.Begin(source.Tx{Commit: 100})
	in.Endpoint(source.Row{Table: endpointTable, Values: endpointRow("erp", "paused")}) // nobody can tell whose it is
	in.Event(outbox.Event{ID: "a"})
	require.NotNil(t, in.Ready())
	require.Equal(t, []string{"begin 100", fmt.Sprintf("take a at %d/0", 0), "flush"}, j.taken())
}
