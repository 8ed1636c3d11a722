package dispatch

import (
	"context"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/retry"
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

	find  int             // OrderingKey: so many others that are due are to be found in the table
	after ledger.DuePlace // with find: where to look

	holds bool // dead deliveries hold their successors

	generation int // of the lane
}

// found is the result of a plan's queries.
type found struct {
	rows  []outbox.Delivery
	most  int       // of one chain, if there were as many
	next  time.Time // when the earliest row that is left is due; of chains that are known these say it
	whole bool      // a planned chain without a row has none
}

// query finds what a plan asks for.
func (l *lane) query(ctx context.Context, p *loadPlan) (f found, err error) {
	q := ledger.PageQuery{EndpointID: l.id, Now: p.now, Exclude: p.exclude, Limit: p.limit}
	switch p.ordering {
	case config.OrderingStrict:
		f.most = p.limit
		f.rows, f.whole, err = l.d.ledger.InOrder(ctx, l.id, p.limit, p.holds)
		return f, err
	case config.OrderingKey:
		if p.find > 0 {
			rows, more, err := l.d.ledger.DueKeys(ctx, l.id, p.after)
			if err != nil {
				return f, err
			}
			f.next = l.claim(p, rows, !more)
		}
		if len(p.keys) > 0 {
			f.most = max(1, min(loadChain, p.limit/len(p.keys)))
			if f.rows, f.whole, err = l.d.ledger.InKeyOrder(ctx, l.id, p.keys, f.most, p.holds); err != nil {
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
	page, err := l.d.ledger.Page(ctx, q)
	f.rows, f.next = append(f.rows, page.Deliveries...), pace.Sooner(f.next, page.Next)
	return f, err
}

// claim adds to a plan the keys that the sweep has found, and returns when to look for others. end:
// there are no rows after these.
func (l *lane) claim(p *loadPlan, rows []ledger.DueKey, end bool) (next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.generation != p.generation || l.chains.sweep == nil {
		return time.Time{}
	}
	s := l.chains.sweep
	for i := range rows {
		if rows[i].DueAt.After(p.now) {
			rows, next, end = rows[:i], rows[i].DueAt, true
			break
		}
	}
	keys, at, all := l.chains.claim(rows, p.find)
	p.keys = append(p.keys, keys...)
	if len(rows) == 0 {
		at = p.after
	}
	if len(keys) > 0 {
		s.found(p.now)
	}
	if s.passed(at, end && all) {
		return p.now
	}
	if p.now.Before(s.askAt) {
		return pace.Sooner(next, s.askAt)
	}
	l.reread = true
	return p.now
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
	if l.nextDue.IsZero() || l.closed || l.reordering || l.d.stopping.Load() || l.waitsForTable() {
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
		most := max(1, min(limit/2, loadKeys)) // a second row says whether a key is done with the first
		keys, next := l.chains.due(now, l.chains.share(most))
		if len(keys) == 0 && p.ordering == config.OrderingStrict {
			l.nextDue = time.Time{}
			l.noteDue(next)
			return p, false
		}
		p.keys = keys
		if s := l.chains.sweep; s != nil {
			p.find, p.after = most-len(keys), s.place()
		}
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
		if c := l.chains.answered(key); c != nil {
			l.chains.settle(c) // the lane is looked at after the pause
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
				chained[key] = &links{more: !f.whole}
			}
			chained[key].add(row, p.now, f.most, l.revive)
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
		c := l.chains.answered(key)
		switch {
		case c == nil:
		case f.whole || chained[key] != nil:
			l.restore(c, chained[key])
		default:
			l.settle(c) // the answer had no room for it
		}
	}
	l.noteDue(f.next)
	if p.find == 0 && l.chains != nil && l.chains.sweep != nil {
		l.noteDue(p.now) // there was no room for what the sweep finds: it goes on after this
	}
	_, next := l.chains.due(p.now, 0)
	l.noteDue(next)
	if l.nextDue.IsZero() || l.nextDue.After(p.now) {
		l.spilling = false
	}
	l.shrink()
	l.shed(time.Now()) // the endpoint may have been paused meanwhile
}

// restore puts what was found of a chain back into memory; nil: somebody removed all of it.
func (l *lane) restore(c *chain, rows *links) {
	back := c.restore(rows)
	for i, dl := range back {
		l.memory.load(dl)
		if i > 0 {
			l.wait(dl)
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
		cost:   overhead + int64(len(row.Event.Payload)+len(row.Event.Extra)),
		spared: row.Reason == outbox.ReasonAuthFailed || retry.Busy(row.LastStatus),
	}
	dl.body = l.d.routing.Load().body(l, &dl.ev.Event)
	return dl
}

// planReread says what of the lane's queue must be read anew, if anything must and can be.
func (l *lane) planReread() (p rereadPlan, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.reread || l.stale > 0 || l.closed || l.d.stopping.Load() {
		return p, false
	}
	l.reread = false // what is changed from now on may be missing in the answer
	if l.chains != nil {
		l.chains.reading = true
	}
	return rereadPlan{ordering: l.policy.ordering, holds: l.policy.holds(), generation: l.generation, most: l.d.laneKeys / 2}, true
}

// cancelReread ends one that has not come to its end; failed: its query failed.
func (l *lane) cancelReread(failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reread = true
	if l.chains != nil {
		l.chains.reading = false
	}
	at := time.Now()
	if failed {
		at = at.Add(l.reloads.Next())
	}
	l.d.loader.schedule(l, at)
}

// finishReread takes the heads of an ordered lane's keys as the table has them. many: they are too
// many.
func (l *lane) finishReread(p rereadPlan, heads []ledger.KeyHead, many bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reloads.Reset()
	if l.chains != nil {
		l.chains.reading = false
	}
	if l.generation != p.generation {
		l.noteDue(now)
		return
	}
	l.reordering = false
	switch {
	case l.chains == nil:
	case !many:
		l.chains.sweep = nil
		l.chains.reread(heads, now)
	case l.chains.sweep != nil:
		l.chains.sweep.postpone(now)
	default:
		l.chains.sweep = newSweep(now)
		l.chains.release(now)
	}
	l.nextDue = now
}

// stir notes that somebody else changed the rows of the lane.
func (l *lane) stir(now time.Time) {
	switch {
	case l.chains == nil:
	case l.chains.sweep != nil:
		l.chains.stir(now)
	default:
		l.reread = true
	}
	l.noteDue(now)
}

// shrink bounds the chains of keys that nothing is in memory of.
func (l *lane) shrink() {
	if l.chains != nil && l.chains.shrink(l.d.laneKeys) {
		l.noteDue(time.Now())
	}
}

// planUnblock says from where on to look for the deliveries that nothing blocks, if that is to be
// done now.
func (l *lane) planUnblock(now time.Time) (from ledger.DuePlace, generation int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.chains == nil || l.chains.sweep == nil || l.reordering || l.closed || l.d.stopping.Load() {
		return from, 0, false
	}
	from, ok = l.chains.sweep.unblocks(now, l.d.unblockEvery)
	return from, l.generation, ok
}

// finishUnblock notes that all deliveries up to a place that nothing blocks are due, as of now.
func (l *lane) finishUnblock(generation int, at ledger.DuePlace, more, failed bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation != generation || l.chains.sweep == nil {
		return
	}
	if failed {
		l.chains.sweep.unblockAt = now.Add(unblockPause)
		l.noteDue(now.Add(unblockPause))
		return
	}
	l.chains.sweep.unblockedTo(at, !more, now)
	l.noteDue(now)
}

// rereadPlan is how the heads of a lane's keys are to be read anew.
type rereadPlan struct {
	ordering   config.Ordering
	holds      bool
	generation int
	most       int // OrderingKey: heads
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
		heads, err = from.KeyHeads(ctx, id, p.holds, p.most)
		return heads, false, err
	case config.OrderingStrict:
	}
	heads, err = from.First(ctx, id, p.holds)
	return heads, false, err
}
