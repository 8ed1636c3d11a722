package intake_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/intake"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// What an event of 500 bytes to one endpoint may cost in memory on its way from a row of the stream
// to a recorded attempt, without the request itself and without SQL (they have gates of their own).
// The counts do not depend on the machine. If a change raises them, look at it with
//
//	go test ./relay/internal/intake -run TestCostOfAnEvent -memprofile m.prof -memprofilerate 1
//
// and raise a limit only together with the reason; if it lowers them, lower the limits. The race
// detector's own allocations are within them.
const (
	// Event, delivery, payload, and id with key and tenant; the start of a worker is three more, at
	// most one for each event. Measured: 5.4 to 5.7, with the race detector 6.1 to 6.4.
	maxAllocations = 7.5
	// Measured: 921 to 955, of which 512 are the payload.
	maxBytes = 1100
)

// acceptor is a receiver and a ledger that take everything and cost nothing.
type acceptor struct {
	dispatch.Ledger

	recorded atomic.Int64
}

func (*acceptor) Send(_ context.Context, r *webhook.Request) webhook.Result {
	return webhook.Result{Attempt: outbox.Attempt{
		EventID: r.Event.ID, EventType: r.Event.Type, Number: r.Number, Trigger: r.Trigger, AttemptedAt: r.Now,
		StatusCode: 200, Duration: time.Millisecond, CommitLSN: r.Event.CommitLSN,
	}}
}

func (*acceptor) SendBatch(context.Context, *webhook.Batch) []webhook.Result {
	panic("no endpoint has batches")
}

func (a *acceptor) Record(_ context.Context, _ ledger.Hold, b *ledger.Batch) error {
	a.recorded.Add(int64(len(b.Attempts)))
	return nil
}

// idle has nothing to do beside delivery.
type idle struct{}

func (idle) Moved(source.Position) {}
func (idle) WakeOperations()       {}

// relation is the default outbox table.
func relation() *source.Table {
	return &source.Table{OID: 1, Schema: "public", Name: "outbox", Columns: []outbox.Column{
		{Name: "id", TypeOID: pgtype.UUIDOID},
		{Name: "type", TypeOID: pgtype.TextOID},
		{Name: "key", TypeOID: pgtype.TextOID},
		{Name: "tenant", TypeOID: pgtype.TextOID},
		{Name: "payload", TypeOID: pgtype.JSONBOID},
		{Name: "headers", TypeOID: pgtype.JSONBOID},
		{Name: "created_at", TypeOID: pgtype.TimestamptzOID},
	}}
}

func TestCostOfAnEvent(t *testing.T) { //nolint:paralleltest // It counts what the whole process allocates.
	const transactions, rows = 100, 200
	a := &acceptor{}
	tracker := source.NewFrontier(0)
	settled := make(chan struct{})
	d := dispatch.New(t.Context(), dispatch.Options{
		Ledger: a, Frontier: tracker, Grace: time.Second, Logger: zerolog.Nop(),
		Endpoints: []dispatch.Endpoint{{Sender: a, Config: config.Endpoint{
			ID: "erp", Concurrency: 32, ParkAfter: time.Hour, Subscriptions: []config.Subscription{{Events: []string{"order.*"}}},
		}}},
		Ack: func(lsn source.Position) {
			if lsn == 2*transactions {
				close(settled)
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()

	p := postgres.NewEvents(postgres.EventsOptions{Mapping: outbox.DefaultMapping(), Logger: zerolog.Nop()}, intake.New(intake.Options{
		Dispatcher: d, Frontier: tracker, Upkeep: idle{}, Stopping: t.Context().Done(), Logger: zerolog.Nop(),
	}))
	rel := relation()
	text := func(s string) outbox.Value { return outbox.Value{Kind: outbox.TextValue, Data: []byte(s)} }
	row := []outbox.Value{
		{},
		text("order.created"),
		{Kind: outbox.NullValue},
		text("acme"), text(`{"filler": "` + strings.Repeat("x", 486) + `"}`),
		{Kind: outbox.NullValue},
		text("2026-01-31 10:20:30.123456+00"),
	}
	ids := make([]outbox.Value, rows)
	for i := range ids {
		ids[i] = text(fmt.Sprintf("0198a000-0000-7000-8000-%012d", i))
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for n := range outbox.LSN(transactions) {
		tx := postgres.Tx{CommitLSN: 2*n + 1, EndLSN: 2*n + 2}
		require.NoError(t, p.Begin(tx))
		for i := range rows {
			if room := p.Ready(); room != nil {
				<-room
			}
			row[0] = ids[i]
			if err := p.Change(postgres.Insert, rel, row); err != nil {
				require.NoError(t, err)
			}
		}
		require.NoError(t, p.Commit(tx))
	}
	<-settled
	runtime.ReadMemStats(&after)
	cancel()
	require.NoError(t, <-ended)

	const events = transactions * rows
	require.EqualValues(t, events, a.recorded.Load())
	allocations := float64(after.Mallocs-before.Mallocs) / events
	bytes := float64(after.TotalAlloc-before.TotalAlloc) / events
	t.Logf("an event costs %.2f allocations and %.0f bytes", allocations, bytes)
	require.LessOrEqual(t, allocations, maxAllocations, "allocations of an event")
	require.LessOrEqual(t, bytes, float64(maxBytes), "bytes allocated for an event")
}
