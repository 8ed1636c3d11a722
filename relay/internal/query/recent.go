package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// The bounds of reading recent events with their payloads.
const (
	recentBatch = 20
	recentBytes = 32 << 20
	recentTime  = 5 * time.Second
)

// RecentQuery asks for the newest events that have an outbox row.
type RecentQuery struct {
	Tenant string // only this tenant's events; empty: all
	Most   int
}

// Recent says how far Store.Recent came.
type Recent struct {
	Listed  bool // there is a table that can be listed
	Stopped bool // it would have taken too long, or read too much, to look at all that were asked for
}

// Recent calls each with the newest events, newest first, until it has seen enough, time or bytes
// are over.
func (s backtests) Recent(ctx context.Context, q RecentQuery, each func(*outbox.Event)) (r Recent, err error) {
	began := time.Now()
	err = s.read(ctx, "read recent events", func(ctx context.Context, tx pgx.Tx) error {
		list := eventList{tx: tx, q: EventQuery{RowsOnly: true, EventTenant: q.Tenant, Limit: q.Most}, until: began.Add(recentTime)}
		if err := list.read(ctx, s.mapping); err != nil {
			return err
		}
		r.Listed = list.page.Order != "attempted_at"
		r.Stopped = list.page.Next != nil && len(list.page.Events) < q.Most
		if _, err := tx.Exec(ctx, plannerSQL); err != nil {
			return err
		}
		size := 0
		for from := 0; from < len(list.page.Events); from += recentBatch {
			if size > recentBytes || time.Since(began) > recentTime {
				r.Stopped = true
				return nil
			}
			batch := list.page.Events[from:min(from+recentBatch, len(list.page.Events))]
			n, err := eachOf(ctx, tx, &list.table, batch, each)
			if err != nil {
				return err
			}
			size += n
		}
		return nil
	})
	return r, err
}

// eachOf calls each with listed events in their order, and returns how many bytes of payload they
// have.
func eachOf(ctx context.Context, tx pgx.Tx, t *eventTable, listed []ListedEvent, each func(*outbox.Event)) (size int, err error) {
	ids := make([]string, len(listed))
	for i := range listed {
		ids[i] = listed[i].ID
	}
	events, err := outboxRows(ctx, tx, t, ids)
	if err != nil {
		return 0, err
	}
	at := make(map[string]*outbox.Event, len(events))
	for i := range events {
		at[events[i].ID] = &events[i]
		size += len(events[i].Payload)
	}
	for _, id := range ids {
		if ev := at[id]; ev != nil {
			each(ev)
		}
	}
	return size, nil
}
