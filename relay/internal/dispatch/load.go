package dispatch

import (
	"context"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
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
}

// query reads the plan's rows. next is when the earliest row that it left in the table is due; chains know that without
// the table.
func (p *loadPlan) query(ctx context.Context, ledger Ledger, id string) (rows []outbox.Delivery, next time.Time, err error) {
	switch p.ordering {
	case config.OrderingStrict:
		rows, err = ledger.InOrder(ctx, id, p.limit)
		return rows, next, err
	case config.OrderingKey:
		if len(p.keys) > 0 {
			if rows, err = ledger.InKeyOrder(ctx, id, p.keys, loadChain); err != nil {
				return nil, next, err
			}
		}
		// Events without a key have no order even there.
		unkeyed, next, err := ledger.DueUnkeyed(ctx, id, p.now, p.exclude, p.limit)
		return append(rows, unkeyed...), next, err
	case config.OrderingNone:
	}
	return ledger.Due(ctx, id, p.now, p.exclude, p.limit)
}

// planLoad decides what to bring back now. Where that is nothing, the lane is looked at again when it may change.
func (l *lane) planLoad(now time.Time) (p loadPlan, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nextDue.IsZero() || l.closed || l.d.stopping.Load() {
		return p, false
	}
	if l.nextDue.After(now) {
		l.d.loader.schedule(l, l.nextDue)
		return p, false
	}
	limit, again := l.health.loadable(now, min(loadPage, l.capacity()-len(l.represented)))
	if limit <= 0 {
		if !again.IsZero() {
			l.d.loader.schedule(l, again)
		}
		return p, false
	}
	p = loadPlan{now: now, limit: limit, ordering: l.cfg.Ordering}
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
func (l *lane) finishLoad(p *loadPlan, rows []outbox.Delivery, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stale := l.loading
	l.loading = nil
	if l.closed || l.d.stopping.Load() {
		return
	}
	chained := make(map[string][]*delivery, len(p.keys))
	for i := range rows {
		dl := l.revive(&rows[i])
		if key, ok := chainKey(p.ordering, dl.ev.Key); ok {
			chained[key] = append(chained[key], dl)
			continue
		}
		if _, gone := stale[dl.ev.ID]; gone || l.represented[dl.ev.ID] != nil {
			continue
		}
		l.represented[dl.ev.ID] = dl
		l.enqueue(dl)
	}
	for _, key := range p.keys {
		// A chain is read only while nothing of it is in memory or uncommitted, so its rows are never stale.
		if c := l.chains[key]; c != nil {
			l.restore(c, chained[key])
		}
	}
	l.noteDue(next)
	if l.chains != nil {
		_, next := l.dueChains(p.now, 0)
		l.noteDue(next)
	}
	if l.nextDue.IsZero() || l.nextDue.After(p.now) {
		l.spilling = false
	}
}

// revive makes a delivery of its row.
func (l *lane) revive(row *outbox.Delivery) *delivery {
	dl := &delivery{
		ev: &event{Event: row.Event}, lane: l, attempts: row.Attempts,
		row: true, settled: true,
	}
	dl.body = l.d.routing.Load().body(l.id, &dl.ev.Event)
	return dl
}
