package dispatch_test

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// tables is the database as the dispatcher sees it: it applies batches as package ledger's SQL
// does.
type tables struct {
	mu       sync.Mutex
	rnd      *rand.Rand
	model    *model // nil: nobody judges
	echo     func(endpoint string)
	rows     map[outbox.Pair]outbox.Delivery
	attempts []outbox.Attempt
	emitted  [][]byte
	changes  []ledger.EndpointChange
	versions []ledger.EndpointVersion
	settled  source.Position
	problems []string
	epoch    int64
	keys     int  // whose heads are told of at most; 0: all
	behind   bool // a relay that is killed has what it was recording committed
	acked    source.Position
	barred   int // so often Unblock fails
}

func newTables(rnd *rand.Rand) *tables {
	return &tables{rnd: rnd, rows: map[outbox.Pair]outbox.Delivery{}}
}

func (f *tables) latency(ctx context.Context) {
	f.mu.Lock()
	d := time.Duration(f.rnd.IntN(int(5 * time.Millisecond)))
	if f.model != nil && f.rnd.IntN(60) == 0 {
		d += time.Duration(f.rnd.IntN(int(3 * time.Second))) // somebody holds a lock
	}
	f.mu.Unlock()
	pause(ctx, d)
}

func (f *tables) Record(ctx context.Context, hold ledger.Hold, b *ledger.Batch) error {
	f.latency(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if hold.Epoch != f.epoch {
		return ledger.ErrDeposed
	}
	if ctx.Err() != nil && (!f.behind || f.rnd.IntN(2) == 0) {
		return context.Cause(ctx)
	}
	if f.model != nil {
		f.model.commits(b)
	}
	if source.Position(b.Settled) < f.settled {
		f.problems = append(f.problems, "the frontier went back")
	}
	f.settled = source.Position(b.Settled)
	f.attempts = append(f.attempts, b.Attempts...)
	f.emitted = append(f.emitted, b.Emit...)
	for _, d := range b.Park {
		p := outbox.Pair{EventID: d.Event.ID, EndpointID: d.EndpointID}
		if _, ok := f.rows[p]; ok {
			f.problems = append(f.problems, "parked twice: "+p.EventID)
		}
		d.QueuedAt = time.Now()
		f.rows[p] = d
	}
	for _, d := range b.Update {
		p := outbox.Pair{EventID: d.Event.ID, EndpointID: d.EndpointID}
		was, ok := f.rows[p]
		if !ok {
			f.problems = append(f.problems, "updated without a row: "+p.EventID)
		}
		d.Trigger = was.Trigger
		f.rows[p] = d
	}
	for _, r := range b.Remove {
		p := r.Pair
		row, ok := f.rows[p]
		if !ok {
			f.problems = append(f.problems, "removed without a row: "+p.EventID)
		}
		if row.Event.CommitLSN != r.CommitLSN || row.Event.Seq != r.Seq {
			f.problems = append(f.problems, "removed from where it is not: "+p.EventID)
		}
		delete(f.rows, p)
	}
	f.changes = append(f.changes, b.Endpoints...)
	for _, c := range b.Endpoints {
		if c.Status != "" && f.echo != nil {
			f.echo(c.EndpointID)
		}
	}
	f.versions = append(f.versions, b.Versions...)
	for _, g := range b.Dropped {
		for p, d := range f.rows {
			if p.EndpointID == g.EndpointID && (d.Event.CommitLSN < g.CommitLSN || d.Event.CommitLSN == g.CommitLSN && d.Event.Seq < g.Seq) {
				delete(f.rows, p)
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // it is committed, and the relay does not know
	}
	return nil
}

// ack is what the slot is told.
func (f *tables) ack(p source.Position) {
	if f.model != nil {
		f.model.acks(p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p > f.settled {
		f.problems = append(f.problems, "the slot is told of what the ledger was not")
	}
	f.acked = max(f.acked, p)
}

// takeEpoch deposes whoever was there before.
func (f *tables) takeEpoch() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.epoch++
	f.behind = false
	return f.epoch
}

// depose ends the hold of a relay that is about to be killed. behind: what it is recording may be
// committed after all.
func (f *tables) depose(behind bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behind = behind
	if !behind {
		f.epoch++
	}
}

// found returns what the dispatcher asked for that makes no sense.
func (f *tables) found() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.problems)
}

func (f *tables) position() source.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settled
}

func (f *tables) acknowledged() source.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acked
}

// recordedFrom names what is recorded of the stream from a position on.
func (f *tables) recordedFrom(from outbox.LSN) map[outbox.Pair]struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	pairs := map[outbox.Pair]struct{}{}
	for p, d := range f.rows {
		if d.Event.CommitLSN >= from {
			pairs[p] = struct{}{}
		}
	}
	for _, a := range f.attempts {
		if a.Outcome != outbox.Retry && a.CommitLSN >= from {
			pairs[outbox.Pair{EventID: a.EventID, EndpointID: a.EndpointID}] = struct{}{}
		}
	}
	return pairs
}

// queued adds what the table has for an endpoint.
func (f *tables) queued(e *dispatch.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, ordering := e.Config.ID, e.Config.Ordering
	if ordering != config.OrderingStrict {
		f.loosen(id, ordering == config.OrderingNone, time.Now())
	}
	keys := map[string]int{}
	for _, d := range f.unfinished(id, e.Config.OnDead == config.OnDeadHold, func(outbox.Delivery) bool { return true }) {
		if due := d.NextAttemptAt; !due.IsZero() && d.State == outbox.Pending && (e.Due.IsZero() || due.Before(e.Due)) {
			e.Due = due
		}
		key, ordered := orderKey(ordering, d.Event.Key)
		if !ordered {
			continue
		}
		if _, ok := keys[key]; ok {
			continue
		}
		keys[key] = len(e.KeyHeads)
		e.KeyHeads = append(e.KeyHeads, ledger.KeyHead{Key: key, NextAttemptAt: dueAt(d)})
	}
	if f.keys > 0 && len(e.KeyHeads) > f.keys/2 && ordering == config.OrderingKey {
		e.KeyHeads, e.ManyKeys, e.Due = nil, true, time.Now()
	}
}

// dueAt is when a row is due; zero: it waits for another, or is dead.
func dueAt(d outbox.Delivery) time.Time {
	if d.State == outbox.StateDead {
		return time.Time{}
	}
	return d.NextAttemptAt
}

// revisit has a person decide on each dead delivery of an endpoint: it is sent again, or given up.
func (f *tables) revisit(endpoint string, again func(outbox.Pair) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, row := range f.unfinished(endpoint, true, func(d outbox.Delivery) bool { return d.State == outbox.StateDead }) {
		p := outbox.Pair{EventID: row.Event.ID, EndpointID: endpoint}
		if !again(p) {
			delete(f.rows, p)
			continue
		}
		row.State, row.NextAttemptAt, row.Trigger = outbox.Pending, time.Now(), outbox.TriggerResend
		f.rows[p] = row
	}
}

func (f *tables) pending(endpoint string, keep func(outbox.Delivery) bool) []outbox.Delivery {
	return f.unfinished(endpoint, false, keep)
}

// unfinished returns what is pending, and what is dead too if asked.
func (f *tables) unfinished(endpoint string, dead bool, keep func(outbox.Delivery) bool) []outbox.Delivery {
	var rows []outbox.Delivery
	for _, d := range f.rows {
		if d.EndpointID == endpoint && (dead || d.State == outbox.Pending) && keep(d) {
			rows = append(rows, d)
		}
	}
	slices.SortFunc(rows, func(a, b outbox.Delivery) int {
		return cmp.Or(cmp.Compare(a.Event.CommitLSN, b.Event.CommitLSN), cmp.Compare(a.Event.Seq, b.Event.Seq))
	})
	return rows
}

func (f *tables) Page(ctx context.Context, q ledger.PageQuery) (ledger.Page, error) {
	f.latency(ctx)
	f.mu.Lock()
	if f.rnd.IntN(50) == 0 {
		f.mu.Unlock()
		return ledger.Page{}, errors.New("the connection is lost")
	}
	rows := f.pending(q.EndpointID, func(d outbox.Delivery) bool {
		return (!q.Unkeyed || d.Event.Key == "") && !d.NextAttemptAt.IsZero() && !slices.Contains(q.Exclude, d.Event.ID)
	})
	slices.SortStableFunc(rows, func(a, b outbox.Delivery) int { return a.NextAttemptAt.Compare(b.NextAttemptAt) })
	n := 0
	for n < len(rows) && n < q.Limit && !rows[n].NextAttemptAt.After(q.Now) {
		n++
	}
	var next time.Time
	if n < len(rows) {
		next = rows[n].NextAttemptAt
	}
	f.mu.Unlock()
	trace("page %s limit %d exclude %d: %d rows", q.EndpointID, q.Limit, len(q.Exclude), n)
	// The answer arrives later than the snapshot it was read from.
	f.latency(ctx)
	return ledger.Page{Deliveries: rows[:n], Next: next}, nil
}

func (f *tables) InKeyOrder(ctx context.Context, endpoint string, keys []string, perKey int, dead bool) ([]outbox.Delivery, bool, error) {
	f.latency(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	var rows []outbox.Delivery
	for _, k := range keys {
		of := f.unfinished(endpoint, dead, func(d outbox.Delivery) bool { return d.Event.Key == k })
		rows = append(rows, of[:min(len(of), perKey)]...)
	}
	trace("in key order %s %v, %d of each: %d rows", endpoint, keys, perKey, len(rows))
	return rows, true, nil
}

func (f *tables) InOrder(ctx context.Context, endpoint string, limit int, dead bool) ([]outbox.Delivery, bool, error) {
	f.latency(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := f.unfinished(endpoint, dead, func(outbox.Delivery) bool { return true })
	return rows[:min(len(rows), limit)], true, nil
}

func (f *tables) KeyHeads(ctx context.Context, endpoint string, dead bool, most int) ([]ledger.KeyHead, error) {
	heads, err := f.heads(ctx, endpoint, dead, func(d outbox.Delivery) (string, bool) { return d.Event.Key, d.Event.Key != "" })
	trace("heads %s: %d keys, %v", endpoint, len(heads), err)
	if err == nil && len(heads) > most {
		return nil, ledger.ErrManyKeys
	}
	return heads, err
}

// place is where a row is in the order of due times.
func place(d outbox.Delivery) ledger.DuePlace {
	return ledger.DuePlace{DueAt: d.NextAttemptAt, CommitLSN: d.Event.CommitLSN, Seq: d.Event.Seq, EventID: d.Event.ID}
}

func compare(a, b ledger.DuePlace) int {
	return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.CommitLSN, b.CommitLSN), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.EventID, b.EventID))
}

func (f *tables) DueKeys(ctx context.Context, endpoint string, after ledger.DuePlace) (keys []ledger.DueKey, more bool, err error) {
	const page = 5
	f.latency(ctx)
	f.mu.Lock()
	if f.rnd.IntN(50) == 0 {
		f.mu.Unlock()
		return nil, false, errors.New("the connection is lost")
	}
	for _, d := range f.pending(endpoint, func(d outbox.Delivery) bool { return !d.NextAttemptAt.IsZero() && compare(place(d), after) > 0 }) {
		keys = append(keys, ledger.DueKey{Key: d.Event.Key, DuePlace: place(d)})
	}
	slices.SortFunc(keys, func(a, b ledger.DueKey) int { return compare(a.DuePlace, b.DuePlace) })
	if more = len(keys) > page; more {
		keys = keys[:page]
	}
	f.mu.Unlock()
	trace("due keys %s after %+v: %+v", endpoint, after, keys)
	// The answer arrives later than the snapshot it was read from.
	f.latency(ctx)
	return keys, more, nil
}

func (f *tables) Unblock(ctx context.Context, endpoint string, after ledger.DuePlace, now time.Time) (at ledger.DuePlace, more bool, err error) {
	const page = 3
	f.latency(ctx)
	f.mu.Lock()
	defer f.latency(ctx)
	defer f.mu.Unlock()
	if f.rnd.IntN(50) == 0 || f.barred > 0 {
		f.barred--
		return after, false, errors.New("the connection is lost")
	}
	waiting := f.pending(endpoint, func(d outbox.Delivery) bool { return d.NextAttemptAt.IsZero() && compare(place(d), after) > 0 })
	for i, d := range waiting {
		if i == page {
			return after, true, nil
		}
		after = place(d)
		first := f.pending(endpoint, func(o outbox.Delivery) bool { return o.Event.Key == d.Event.Key })[0]
		if d.Event.Key != "" && first.Event.ID == d.Event.ID {
			trace("unblock %s %s", endpoint, d.Event.ID)
			d.NextAttemptAt = pace.Later(now, d.Event.NotBefore())
			f.rows[outbox.Pair{EventID: d.Event.ID, EndpointID: endpoint}] = d
		}
	}
	return after, false, nil
}

func (f *tables) First(ctx context.Context, endpoint string, dead bool) ([]ledger.KeyHead, error) {
	return f.heads(ctx, endpoint, dead, func(outbox.Delivery) (string, bool) { return "", true })
}

func (f *tables) Loosen(ctx context.Context, endpoint string, keyed bool, now time.Time) (bool, error) {
	f.latency(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loosen(endpoint, keyed, now)
	return false, nil
}

func (f *tables) loosen(endpoint string, keyed bool, now time.Time) {
	for _, d := range f.pending(endpoint, func(d outbox.Delivery) bool { return d.NextAttemptAt.IsZero() && (keyed || d.Event.Key == "") }) {
		d.NextAttemptAt = pace.Later(now, d.Event.NotBefore())
		f.rows[outbox.Pair{EventID: d.Event.ID, EndpointID: endpoint}] = d
	}
}

func (f *tables) heads(ctx context.Context, endpoint string, dead bool, key func(outbox.Delivery) (string, bool)) ([]ledger.KeyHead, error) {
	f.latency(ctx)
	f.mu.Lock()
	if f.rnd.IntN(20) == 0 {
		f.mu.Unlock()
		return nil, errors.New("the connection is lost")
	}
	var heads []ledger.KeyHead
	at := map[string]int{}
	for _, d := range f.unfinished(endpoint, dead, func(outbox.Delivery) bool { return true }) {
		k, ok := key(d)
		if !ok {
			continue
		}
		if _, again := at[k]; again {
			continue
		}
		at[k] = len(heads)
		heads = append(heads, ledger.KeyHead{Key: k, EventID: d.Event.ID, NextAttemptAt: dueAt(d)})
	}
	f.mu.Unlock()
	f.latency(ctx)
	return heads, nil
}
