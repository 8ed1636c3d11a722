package heal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/scan"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// world is a database with an outbox table, a stream and what is recorded, as an audit sees them:
// in memory, with the endpoints erp (no order) and ledger (by key).
type world struct {
	mu       sync.Mutex
	t        *testing.T
	rows     []*row
	recorded map[string][]string
	routed   map[string]ledger.Routed
	queued   []outbox.Delivery
	audits   []*ledger.Gap // nil: it found nothing
	horizon  scan.Horizon  // that was noted
	before   time.Time     // what was created until then was noted to be settled
	horizons int64         // that were asked for
	scopes   []scan.Scope  // of the sweeps
	batches  []int         // deliveries queued in each transaction
	notes    []string
	gaps     int                // within the hour
	asked    ledger.GapsOptions // that gaps were asked for by
	fail     error              // of the table
	deposed  bool
	// onTheirWay are events that the stream brings at the next barrier; reads, how often the table
	// was.
	onTheirWay []string
	reads      int
	blocks     []int64       // that were read
	indexed    bool          // an index tells new rows
	untimed    bool          // no column says when rows were created
	parts      int64         // of the table, all as large
	round      ledger.Round  // that was noted
	hold       chan struct{} // non-nil: a barrier waits for it
	takes      time.Duration // of reading a page
	writes     time.Duration // of queueing
	queues     []time.Time   // when each ended
	worked     time.Duration // of what it was asked for, in all
	pages      []time.Time   // when each was asked for
}

type row struct {
	outbox.Event

	block     int64
	committed time.Time // of a table without a column for times, as the server remembers it; zero: it has one
	err       error
	doubtful  bool
}

func (w *world) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// Wait is the barrier: by its end the stream has delivered what was on its way.
func (w *world) Wait(ctx context.Context) (source.Position, error) {
	w.mu.Lock()
	hold := w.hold
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.onTheirWay {
		w.recorded[id] = []string{"erp", "ledger"}
	}
	w.onTheirWay = nil
	w.note("barrier")
	return 1000, nil
}

func (w *world) Routed(context.Context) (map[string]ledger.Routed, error) { return w.routed, nil }

func (w *world) Queue(ctx context.Context, _ ledger.Hold, ds []outbox.Delivery, _ time.Time) (queued int64, err error) {
	w.work(ctx, w.writes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queues = append(w.queues, time.Now())
	if w.deposed {
		return 0, ledger.ErrDeposed
	}
	w.batches = append(w.batches, len(ds))
	for i := range ds {
		// The queue has no two of a pair, and nothing that was delivered.
		if slices.ContainsFunc(w.queued, func(d outbox.Delivery) bool { return d.Event.ID == ds[i].Event.ID && d.EndpointID == ds[i].EndpointID }) {
			continue
		}
		w.recorded[ds[i].Event.ID] = append(w.recorded[ds[i].Event.ID], ds[i].EndpointID)
		w.queued = append(w.queued, ds[i])
		queued++
	}
	return queued, nil
}

func (w *world) Horizon(context.Context) (scan.Horizon, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("horizon")
	w.horizons++
	return scan.Horizon{XID: 900 + w.horizons, At: time.Now()}, nil
}

func (w *world) Audited(_ context.Context, _ ledger.Hold, audit ledger.Audit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.audits, w.horizon, w.before, w.round = append(w.audits, audit.Found), audit.Horizon, audit.Before, audit.Round
	if audit.Found != nil {
		w.gaps++
	}
	return nil
}

func (w *world) Gaps(_ context.Context, o ledger.GapsOptions) (gaps []ledger.RecentGap, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = o
	for n := range w.gaps {
		gaps = append(gaps, ledger.RecentGap{At: o.Since.Add(time.Duration(n+1) * time.Minute), Why: fmt.Sprint("cause ", n+1)})
	}
	return gaps, w.fail
}

// work keeps the database busy.
func (w *world) work(ctx context.Context, takes time.Duration) {
	_ = pace.Wait(ctx, takes)
	w.see(func() { w.worked += takes })
}

func (w *world) Timed() bool { return !w.untimed }

func (w *world) Blocks(context.Context) (most, all int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rows {
		most = max(most, r.block+1)
	}
	return most, most * max(1, w.parts), w.fail
}

func (w *world) Recent(_ context.Context, since time.Time) (spans []scan.Span, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rows {
		if r.CreatedAt.Before(since) {
			continue
		}
		if n := len(spans); n > 0 && spans[n-1].To == r.block {
			spans[n-1].To++
			continue
		}
		spans = append(spans, scan.Span{From: r.block, To: r.block + 1})
	}
	return spans, w.indexed, nil
}

func (w *world) Rows(ctx context.Context, from, n int64) (rows []scan.Row, err error) {
	w.see(func() { w.pages = append(w.pages, time.Now()) })
	w.work(ctx, w.takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	for at := from; at < from+n; at++ {
		w.blocks = append(w.blocks, at)
	}
	for _, r := range w.rows {
		if r.block >= from && r.block < from+n {
			rows = append(rows, scan.Row{
				RowPlace: scan.RowPlace{ID: r.ID, OID: 1, TID: fmt.Sprintf("(%d,1)", r.block)}, Type: r.Type, Tenant: r.Tenant, CreatedAt: pace.Later(r.CreatedAt, r.committed), Size: len(r.Payload),
				Recorded: slices.Clone(w.recorded[r.ID]), Doubtful: r.doubtful,
			})
		}
	}
	return rows, w.fail
}

func (w *world) Events(ctx context.Context, places []scan.RowPlace) (found []scan.Found, err error) {
	w.work(ctx, w.takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("events %d", len(places))
	for _, p := range places {
		for _, r := range w.rows {
			if r.ID == p.ID {
				found = append(found, scan.Found{RowPlace: p, Event: r.Event, Recorded: slices.Clone(w.recorded[r.ID]), Err: r.err})
			}
		}
	}
	return found, w.fail
}

func (w *world) Wanting(dst []string, ev *outbox.Event) []string {
	if ev.Type == "nobody" || ev.Type == "" { // as patterns leave out what has no type
		return dst
	}
	if ev.Tenant == "acme" {
		dst = append(dst, "crm")
	}
	return append(dst, "erp", "ledger")
}

func (w *world) Route(dst []string, ev *outbox.Event) []string {
	if ev.Type == "filtered out" {
		return dst
	}
	if ev.Type == "filtered" {
		return append(dst, "ledger")
	}
	return w.Wanting(dst, ev)
}

func (w *world) Ordering(id string) config.Ordering {
	if id == "ledger" {
		return config.OrderingKey
	}
	return config.OrderingNone
}

func (w *world) Due(id string) { w.see(func() { w.note("due %s", id) }) }
func (w *world) Healed()       { w.see(func() { w.note("healed") }) }

func (w *world) see(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// insert adds rows of one block each.
func (w *world) insert(created time.Time, ids ...string) {
	w.see(func() {
		for _, id := range ids {
			w.rows = append(w.rows, &row{
				Event: outbox.Event{ID: id, Type: "order.created", Payload: []byte("{}"), CreatedAt: created}, block: int64(len(w.rows)),
			})
		}
	})
}

// again is how many rows were read in full, once a first look had made them suspicious.
func (w *world) again() (rows int) {
	w.see(func() {
		for _, note := range w.notes {
			var n int
			if _, err := fmt.Sscanf(note, "events %d", &n); err == nil {
				rows += n
			}
		}
	})
	return rows
}

// sent returns what was queued, as id>endpoint.
func (w *world) sent() (all []string) {
	w.see(func() {
		for _, d := range w.queued {
			all = append(all, d.Event.ID+">"+d.EndpointID)
		}
	})
	return all
}

// auditBundle is an auditor over a world whose slot was taken an hour before the gap began.
type auditBundle struct {
	*world
	*heal.Auditor

	gap   time.Time // the last settled transaction
	ended chan error
}

func setupAudit(t *testing.T, interval time.Duration) *auditBundle {
	t.Helper()
	now := time.Now()
	b := &auditBundle{gap: now.Add(-time.Minute), ended: make(chan error, 1)}
	b.world = &world{t: t, recorded: make(map[string][]string), routed: map[string]ledger.Routed{
		"erp":    {Config: true, CreatedAt: now.Add(-3 * time.Hour), Since: now.Add(-3 * time.Hour)},
		"ledger": {CreatedAt: now.Add(-3 * time.Hour), Since: now.Add(-3 * time.Hour)},
	}}
	mapping := outbox.DefaultMapping()
	b.Auditor = heal.NewAuditor(heal.AuditorOptions{
		Ledger: b.world, Dispatcher: b.world, Barriers: b.world, Hold: ledger.Hold{Slot: "tailpost", Epoch: 1},
		Open: func(_ context.Context, scope scan.Scope) (heal.Table, error) {
			if b.Outbox.Mapping.Table == "" {
				return nil, errors.New("there is no outbox table")
			}
			b.see(func() { b.scopes = append(b.scopes, scope) })
			return b.world, nil
		},
		Position: ledger.Position{StartedAt: now.Add(-2 * time.Hour), SettledAt: b.gap, Settled: 500},
		Outbox:   config.Outbox{Mapping: mapping, AuditInterval: interval}, Logger: zerolog.Nop(),
	})
	return b
}

// due is the heal of a gap.
func (b *auditBundle) due() *heal.Inquiry {
	return heal.Due(heal.After(ledger.Position{Settled: 500, SettledAt: b.gap}, "the slot was missing", time.Now()))
}

// run runs the auditor in a bubble until the test is over.
func (b *auditBundle) run(t *testing.T, first *heal.Inquiry) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ended <- b.Run(ctx, first)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	synctest.Wait()
}

func pass(t *testing.T, d time.Duration) {
	t.Helper()
	require.NoError(t, pace.Wait(t.Context(), d))
	synctest.Wait()
}
