package dispatch

import (
	"context"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

const (
	loadPage = 512 // deliveries that one query brings back at most
	loadKeys = 256 // ordered keys that one query brings back at most
	// mostLoaded bounds what rows take in memory over all lanes, in bytes; each lane may have
	// leastLoad rows beyond that.
	mostLoaded = 32 << 20
	leastLoad  = 8

	loadChain = 16 // deliveries of one ordered key that one query brings back at most
)

// loadPlan says what to bring back for a lane.
type loadPlan struct {
	now      time.Time
	ordering config.Ordering
	limit    int
	exclude  []string // ids of events in memory
	keys     []string // OrderingKey: the chains to bring back

	holds bool // dead deliveries hold their successors

	generation int // of the lane
}

// found is the result of a plan's queries.
type found struct {
	rows  []outbox.Delivery
	next  time.Time // when the earliest unordered row that is left is due; chains know that without the table
	whole bool      // a planned chain without a row has none
}

func (p *loadPlan) query(ctx context.Context, from Ledger, id string) (f found, err error) {
	q := ledger.PageQuery{EndpointID: id, Now: p.now, Exclude: p.exclude, Limit: p.limit}
	switch p.ordering {
	case config.OrderingStrict:
		f.whole = true
		f.rows, err = from.InOrder(ctx, id, p.limit, p.holds)
		return f, err
	case config.OrderingKey:
		if len(p.keys) > 0 {
			perKey := max(1, min(loadChain, p.limit/len(p.keys)))
			if f.rows, f.whole, err = from.InKeyOrder(ctx, id, p.keys, perKey, p.holds); err != nil {
				return f, err
			}
		}
		if q.Limit -= len(f.rows); q.Limit <= 0 {
			f.next = p.now // the rest is for the next look
			return f, nil
		}
		// Events without a key have no order even there.
		q.Unkeyed = true
	case config.OrderingNone:
	}
	page, err := from.Page(ctx, q)
	f.rows, f.next = append(f.rows, page.Deliveries...), page.Next
	return f, err
}

// noteDue remembers that the table has a delivery, not in memory, that is due at t; zero: it has
// none.
func (l *lane) noteDue(t time.Time) {
	if t.IsZero() {
		return
	}
	l.nextDue = pace.Sooner(l.nextDue, t)
	l.d.loader.schedule(l, l.nextDue)
}

// planLoad decides what to bring back now. Where that is nothing, the lane is looked at again when
// it may change.
func (l *lane) planLoad(now time.Time) (p loadPlan, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nextDue.IsZero() || l.closed || l.reread || l.d.stopping.Load() || l.waitsForTable() {
		return p, false
	}
	if l.nextDue.After(now) {
		l.d.loader.schedule(l, l.nextDue)
		return p, false
	}
	room := min(loadPage, l.capacity()-len(l.memory.loaded))
	if l.d.loadedBytes.Load() >= mostLoaded {
		// What it has makes room, or is shed; either has it looked at again.
		room = min(room, leastLoad-len(l.memory.loaded))
	}
	limit, again := l.health.loadable(now, room, l.memory.queue.live)
	if limit <= 0 {
		if !again.IsZero() {
			l.d.loader.schedule(l, again)
		}
		return p, false
	}
	p = loadPlan{now: now, limit: limit, ordering: l.policy.ordering, holds: l.policy.holds(), generation: l.generation}
	if l.chains != nil {
		keys, next := l.chains.due(now, min(limit, loadKeys))
		if len(keys) == 0 && p.ordering == config.OrderingStrict {
			l.nextDue = time.Time{}
			l.noteDue(next)
			return p, false
		}
		p.keys = keys
	}
	l.nextDue = time.Time{}
	p.exclude = l.memory.beginLoad()
	return p, true
}

// cancelLoad ends a load whose query failed.
func (l *lane) cancelLoad(p *loadPlan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.memory.endLoad()
	for _, key := range p.keys {
		if l.chains != nil && l.chains.byKey[key] != nil {
			l.chains.settle(l.chains.byKey[key]) // the lane is looked at after the pause
		}
	}
	l.nextDue = pace.Sooner(l.nextDue, p.now)
	l.d.loader.schedule(l, time.Now().Add(l.reloads.Next()))
}

// finishLoad puts the rows that a plan's query found into memory.
func (l *lane) finishLoad(p *loadPlan, f found) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.memory.endLoad()
	l.reloads.Reset()
	if l.closed || l.generation != p.generation || l.d.stopping.Load() {
		return
	}
	chained := make(map[string]*links, len(p.keys))
	for i := range f.rows {
		row := &f.rows[i]
		if key, ok := chainKey(p.ordering, row.Event.Key); ok {
			if chained[key] == nil {
				chained[key] = &links{}
			}
			chained[key].add(row, p.now, l.revive)
			continue
		}
		if l.memory.has(row.Event.ID) {
			continue
		}
		dl := l.revive(row)
		l.memory.load(dl)
		l.enqueue(dl)
	}
	for _, key := range p.keys {
		// A chain is read only while nothing of it is in memory or uncommitted, so its rows are
		// never stale.
		c := l.chains.byKey[key]
		switch {
		case c == nil:
		case f.whole || chained[key] != nil:
			l.restore(c, chained[key])
		default:
			l.settle(c) // the answer had no room for it
		}
	}
	l.noteDue(f.next)
	_, next := l.chains.due(p.now, 0)
	l.noteDue(next)
	if l.nextDue.IsZero() || l.nextDue.After(p.now) {
		l.spilling = false
	}
}

// restore puts what was found of a chain back into memory; nil: somebody removed all of it.
func (l *lane) restore(c *chain, rows *links) {
	back := c.restore(rows)
	for i, dl := range back {
		l.memory.load(dl)
		if i > 0 {
			l.memory.wait(dl)
		}
	}
	if len(back) > 0 {
		l.enqueue(back[0])
		return
	}
	l.settle(c)
}

// revive makes a delivery of its row.
func (l *lane) revive(row *outbox.Delivery) *delivery {
	dl := &delivery{
		ev: &event{Event: row.Event, committed: row.QueuedAt}, lane: l, attempts: row.Attempts,
		row: true, settled: true, trigger: row.Trigger, generation: l.generation,
		cost: overhead + int64(len(row.Event.Payload)),
	}
	dl.body = l.d.routing.Load().body(l, &dl.ev.Event)
	return dl
}

// planReread says what of the lane's queue must be read anew, if anything must and can be.
func (l *lane) planReread() (p rereadPlan, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p = rereadPlan{ordering: l.policy.ordering, holds: l.policy.holds(), generation: l.generation}
	return p, l.reread && l.stale == 0 && !l.closed && !l.d.stopping.Load()
}

// cancelReread ends one whose query failed.
func (l *lane) cancelReread() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.d.loader.schedule(l, time.Now().Add(l.reloads.Next()))
}

// finishReread takes the heads of an ordered lane's keys as the table has them.
func (l *lane) finishReread(p rereadPlan, heads []ledger.KeyHead, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reloads.Reset()
	if l.generation != p.generation {
		l.noteDue(now)
		return
	}
	l.reordering, l.reread = false, false
	if l.chains != nil {
		l.chains.reread(heads, now)
	}
	l.nextDue = now
}

// rereadPlan is how the heads of a lane's keys are to be read anew.
type rereadPlan struct {
	ordering   config.Ordering
	holds      bool
	generation int
}

// query reports more where there is more to do before there are heads, for which other lanes need
// not wait.
func (p rereadPlan) query(ctx context.Context, from Ledger, id string) (heads []ledger.KeyHead, more bool, err error) {
	switch p.ordering {
	case config.OrderingNone:
		more, err = from.Loosen(ctx, id, true, time.Now())
		return nil, more, err
	case config.OrderingKey:
		if more, err = from.Loosen(ctx, id, false, time.Now()); more || err != nil {
			return nil, more, err
		}
		heads, err = from.KeyHeads(ctx, id, p.holds)
		return heads, false, err
	case config.OrderingStrict:
	}
	heads, err = from.First(ctx, id, p.holds)
	return heads, false, err
}
