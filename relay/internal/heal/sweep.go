package heal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// sweep reads the table and queues what is missing.
func (a *Auditor) sweep(ctx context.Context, q *Inquiry, gap *ledger.Gap) error {
	table, err := a.Open(ctx, q.Since)
	if err != nil {
		return err
	}
	if !table.Timed() && (!q.backfill() || !q.Since.IsZero()) {
		gap.Note = "the outbox table has no created_at column, so lost rows cannot be told from old ones: add one, or set track_commit_timestamp on the server"
		return nil
	}
	routed, err := a.Ledger.Routed(ctx)
	if err != nil {
		return err
	}
	blocks, err := table.Blocks(ctx)
	if err != nil {
		return err
	}
	s := &sweep{Auditor: a, Inquiry: q, table: table, routed: routed, gap: gap, ordered: make(map[string]bool)}
	var page pace.Page
	for at := int64(0); at < blocks; {
		read, busy, err := s.page(ctx, at, page.Size())
		if err != nil {
			return err
		}
		if err := pace.Wait(ctx, pace.Rest{Times: q.pace}.After(busy)); err != nil {
			return err
		}
		at += page.Size()
		page.Took(read)
	}
	s.tell()
	return nil
}

// sweep is one way through the table.
type sweep struct {
	*Auditor
	*Inquiry

	table   Table
	routed  map[string]ledger.Routed
	gap     *ledger.Gap
	ordered map[string]bool // endpoints with an order that got deliveries

	ids  []string
	last time.Time // of the event that came last, and how many had that time
	ties int64
}

// page looks at some blocks, and queues what is missing. It returns how long reading them took, and how long the database was
// busy in all.
func (s *sweep) page(ctx context.Context, from, n int64) (read, busy time.Duration, err error) {
	began := time.Now()
	rows, err := s.table.Rows(ctx, from, n)
	read = time.Since(began)
	if err != nil {
		return read, read, err
	}
	rows = slices.DeleteFunc(rows, func(r ledger.Row) bool { return !s.suspicious(&r) })
	if len(rows) == 0 {
		return read, read, nil
	}
	// Some may be on their way through the stream. Once it has passed this moment, what nobody has got nobody will get.
	if _, err := s.Barriers.Wait(ctx); err != nil {
		return read, read, err
	}
	began = time.Now()
	for len(rows) > 0 {
		n, bytes := 0, 0
		var places []ledger.RowPlace
		for n < len(rows) && n < chunkRows && (n == 0 || bytes+rows[n].Size <= chunkBytes) {
			bytes += rows[n].Size
			places = append(places, ledger.RowPlace{ID: rows[n].ID, TID: rows[n].TID})
			n++
		}
		rows = rows[n:]
		if err := s.chunk(ctx, places); err != nil {
			return read, read, err
		}
	}
	return read, read + time.Since(began), nil
}

// suspicious says whether somebody who may want the row's event has neither an attempt nor a delivery of it.
func (s *sweep) suspicious(r *ledger.Row) bool {
	if slices.Contains(r.Recorded, dispatch.Everyone) {
		return false
	}
	s.ids = s.Dispatcher.Wanting(s.ids[:0], &outbox.Event{ID: r.ID, Type: r.Type, Tenant: r.Tenant})
	return slices.ContainsFunc(s.ids, func(id string) bool {
		return !slices.Contains(r.Recorded, id) && s.entitled(id, r.CreatedAt, len(r.Recorded) == 0)
	})
}

// entitled says whether an endpoint should have got an event of a time. For the endpoints of a configuration an event is routed
// when it is read, so of what was unread in the gap they get what they want now, as from the stream.
func (s *sweep) entitled(id string, created time.Time, unread bool) bool {
	r, ok := s.routed[id]
	switch {
	case !ok:
		return false
	case s.backfill() && (created.IsZero() || created.Before(s.Position.StartedAt)):
		return !r.CreatedAt.After(s.Position.StartedAt)
	case created.IsZero(), created.Before(s.Position.StartedAt):
		return false
	case r.Config && unread && !s.gapFrom.IsZero() && created.After(s.gapFrom):
		return true
	}
	return !created.Before(r.Since)
}

// chunk queues the deliveries that are missing of the events at these places.
func (s *sweep) chunk(ctx context.Context, places []ledger.RowPlace) error {
	found, err := s.table.Events(ctx, places)
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b ledger.Found) int { return a.Event.CreatedAt.Compare(b.Event.CreatedAt) })
	now := time.Now()
	var ds []outbox.Delivery
	var unordered []string
	for i := range found {
		before := len(ds)
		ds = s.deliveries(ds, &found[i], now)
		if len(ds) > before {
			s.gap.Events++
		}
		for _, d := range ds[before:] {
			switch {
			case s.Dispatcher.Ordering(d.EndpointID) != config.OrderingNone:
				s.ordered[d.EndpointID] = true
			case !slices.Contains(unordered, d.EndpointID):
				unordered = append(unordered, d.EndpointID)
			}
		}
	}
	if len(ds) == 0 {
		return nil
	}
	queued, err := s.Ledger.Queue(ctx, s.Hold, ds, now)
	if err != nil {
		return err
	}
	s.gap.Deliveries += queued
	for _, id := range unordered {
		s.Dispatcher.Due(id)
	}
	return nil
}

// deliveries appends the deliveries that are missing of an event. Their place in the order is before all that the stream
// brings after the gap, and among each other by time.
func (s *sweep) deliveries(ds []outbox.Delivery, f *ledger.Found, now time.Time) []outbox.Delivery {
	if slices.Contains(f.Recorded, dispatch.Everyone) {
		return ds
	}
	ev := f.Event
	ev.CommitLSN, ev.Seq = s.From, s.place(ev.CreatedAt)
	created := ev.CreatedAt
	if ev.CreatedAt.IsZero() {
		ev.CreatedAt = now
	}
	if f.Err != nil {
		if ev.ID == "" {
			return ds // it has no identity, so that each audit would find it anew
		}
		return append(ds, outbox.Delivery{
			Event: ev, EndpointID: dispatch.Everyone, State: outbox.StateDead, Reason: outbox.ReasonInvalid,
			LastError: fmt.Sprintf("decode: %v", f.Err),
		})
	}
	if source.Unrecordable(&ev) != nil {
		return ds // nothing can be recorded under its id
	}
	s.ids = s.Dispatcher.Route(s.ids[:0], &ev)
	for _, id := range s.ids {
		if slices.Contains(f.Recorded, id) || !s.entitled(id, created, len(f.Recorded) == 0) {
			continue
		}
		ds = append(ds, outbox.Delivery{Event: ev, EndpointID: id, State: outbox.Pending, Reason: outbox.ReasonAudit, NextAttemptAt: now})
	}
	return ds
}

// place orders events by time, and those of one time as the table has them.
func (s *sweep) place(created time.Time) int64 {
	const most = 1<<12 - 1
	if created.Equal(s.last) {
		s.ties = min(s.ties+1, most)
	} else {
		s.last, s.ties = created, 0
	}
	if created.IsZero() {
		return s.ties
	}
	epoch := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	return created.Sub(epoch).Microseconds()<<12 | s.ties
}

// tell lets the endpoints with an order look at the table.
func (s *sweep) tell() {
	for id := range s.ordered {
		s.Dispatcher.Due(id)
	}
}
