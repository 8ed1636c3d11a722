package dispatch

import (
	"context"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

const (
	loadPage  = 512         // deliveries that one query brings back at most
	loadKeys  = 64          // ordered keys that one query brings back at most
	loadChain = 16          // deliveries of one ordered key that one query brings back at most
	loadRetry = time.Second // how long the loader leaves a lane alone after a query failed
)

// loadPlan is what to bring back for a lane.
type loadPlan struct {
	now      time.Time
	ordering config.Ordering
	limit    int
	exclude  []string // ids of events in memory
	keys     []string // OrderingKey: the chains to bring back

	holding bool // dead deliveries hold their successors

	generation int // of the lane
}

// loaded is what a plan's queries found.
type loaded struct {
	rows  []outbox.Delivery
	next  time.Time // when the earliest unordered row that is left is due; chains know that without the table
	whole bool      // a planned chain without a row has none
}

func (p *loadPlan) query(ctx context.Context, from Ledger, id string) (found loaded, err error) {
	q := ledger.PageQuery{EndpointID: id, Now: p.now, Exclude: p.exclude, Limit: p.limit}
	switch p.ordering {
	case config.OrderingStrict:
		found.whole = true
		found.rows, err = from.InOrder(ctx, id, p.limit, p.holding)
		return found, err
	case config.OrderingKey:
		if len(p.keys) > 0 {
			perKey := max(1, min(loadChain, p.limit/len(p.keys)))
			if found.rows, found.whole, err = from.InKeyOrder(ctx, id, p.keys, perKey, p.holding); err != nil {
				return found, err
			}
		}
		if q.Limit -= len(found.rows); q.Limit <= 0 {
			found.next = p.now // the rest is for the next look
			return found, nil
		}
		// Events without a key have no order even there.
		q.Unkeyed = true
	case config.OrderingNone:
	}
	page, err := from.Page(ctx, q)
	found.rows, found.next = append(found.rows, page.Deliveries...), page.Next
	return found, err
}

// planLoad decides what to bring back now. Where that is nothing, the lane is looked at again when it may change.
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
	limit, again := l.health.loadable(now, min(loadPage, l.capacity()-len(l.represented)), l.queue.live)
	if limit <= 0 {
		if !again.IsZero() {
			l.d.loader.schedule(l, again)
		}
		return p, false
	}
	p = loadPlan{now: now, limit: limit, ordering: l.policy.ordering, holding: l.policy.onDead == config.OnDeadHold, generation: l.generation}
	if l.chains != nil {
		keys, next := l.dueChains(now, min(limit, loadKeys))
		if len(keys) == 0 && p.ordering == config.OrderingStrict {
			l.nextDue = time.Time{}
			l.noteDue(next)
			return p, false
		}
		p.keys = keys
	}
	l.nextDue = time.Time{}
	p.exclude = make([]string, 0, len(l.represented))
	for id := range l.represented {
		p.exclude = append(p.exclude, id)
	}
	l.loading = map[string]struct{}{}
	return p, true
}

// cancelLoad ends a load whose query failed.
func (l *lane) cancelLoad(p *loadPlan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loading = nil
	if l.nextDue.IsZero() || p.now.Before(l.nextDue) {
		l.nextDue = p.now
	}
	l.d.loader.schedule(l, time.Now().Add(loadRetry))
}

// finishLoad puts the rows that a plan's query found into memory.
func (l *lane) finishLoad(p *loadPlan, found loaded) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stale := l.loading
	l.loading = nil
	if l.closed || l.generation != p.generation || l.d.stopping.Load() {
		return
	}
	chained := make(map[string]*links, len(p.keys))
	for i := range found.rows {
		row := &found.rows[i]
		if key, ok := chainKey(p.ordering, row.Event.Key); ok {
			if chained[key] == nil {
				chained[key] = &links{}
			}
			chained[key].add(l, row, p.now)
			continue
		}
		dl := l.revive(row)
		if _, gone := stale[dl.ev.ID]; gone || l.represented[dl.ev.ID] != nil {
			continue
		}
		l.represent(dl)
		l.enqueue(dl)
	}
	for _, key := range p.keys {
		// A chain is read only while nothing of it is in memory or uncommitted, so its rows are never stale.
		if c := l.chains[key]; c != nil && (found.whole || chained[key] != nil) {
			l.restore(c, chained[key])
		}
	}
	l.noteDue(found.next)
	if l.chains != nil {
		_, next := l.dueChains(p.now, 0)
		l.noteDue(next)
	}
	if l.nextDue.IsZero() || l.nextDue.After(p.now) {
		l.spilling = false
	}
}

// links are the rows of one chain that a query found and that may go, oldest first.
type links struct {
	due  []*delivery
	held bool      // a dead one holds what follows
	next time.Time // when the one that follows is due; zero: none is known
}

func (k *links) add(l *lane, row *outbox.Delivery, now time.Time) {
	switch {
	case k.held || !k.next.IsZero():
	case row.State == outbox.StateDead:
		k.held = true
	case row.NextAttemptAt.After(now):
		k.next = row.NextAttemptAt
	default:
		k.due = append(k.due, l.revive(row))
	}
}

// revive makes a delivery of its row.
func (l *lane) revive(row *outbox.Delivery) *delivery {
	dl := &delivery{
		ev: &event{Event: row.Event}, lane: l, attempts: row.Attempts,
		row: true, settled: true, trigger: row.Trigger, generation: l.generation,
	}
	dl.body = l.d.routing.Load().body(l, &dl.ev.Event)
	return dl
}
