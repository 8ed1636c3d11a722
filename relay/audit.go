package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

const (
	// auditRetry is when an audit that failed is tried again.
	auditRetry = 10 * time.Minute
	// healPace and auditPace are how long the sweep rests after each page, as multiples of what the page took.
	healPace  = 1
	auditPace = 9
	// chunkRows and chunkBytes bound the events that are read and queued at once.
	chunkRows  = 256
	chunkBytes = 1 << 20
)

// auditor finds events of the outbox table that the stream did not bring. It belongs to one goroutine.
type auditor struct {
	ledger     *ledger.Ledger
	dispatcher *dispatch.Dispatcher
	barriers   *source.Barriers
	hold       ledger.Hold
	position   ledger.Position
	outbox     config.Outbox
	attempts   time.Duration // how long attempts are kept; 0: for ever
	audited    time.Time     // events created before it are settled
	sound      chan struct{} // closed once no gap waits to be healed
	log        zerolog.Logger
}

// inquiry is what an audit is to look at.
type inquiry struct {
	ledger.Heal

	// due says that the heal is noted in the database: it is a gap, and reported whatever it finds.
	due bool
	// gapFrom is when the stream last brought everything. Zero: it always did, as far as anybody knows.
	gapFrom time.Time
	pace    int // rests after each page, as multiples of what the page took
}

func (i *inquiry) backfill() bool { return i.Why == whyBackfill }

// run audits until ctx is done: first what is wanted at once, if anything, then at every interval.
func (a *auditor) run(ctx context.Context, first *inquiry) error {
	defer a.dispatcher.Healed()
	sound := sync.OnceFunc(func() { close(a.sound) })
	for q := first; ; {
		if q == nil {
			sound()
			if q = a.await(ctx); q == nil {
				return nil
			}
		}
		err := a.audit(ctx, q)
		a.dispatcher.Healed()
		switch {
		case err == nil:
			q = nil
		case ctx.Err() != nil, errors.Is(err, ledger.ErrDeposed):
			return nil
		case errors.Is(err, errTooManyGaps):
			return err
		default:
			a.log.Error().Err(err).Str("why", q.Why).Msg("the audit of the outbox table failed: what the stream lost stays undelivered until it succeeds")
			_ = pace.Wait(ctx, auditRetry) // what is done next looks at ctx
		}
	}
}

// await waits for the next audit of the interval; nil: there is none before ctx is done.
func (a *auditor) await(ctx context.Context) *inquiry {
	interval := a.outbox.AuditInterval
	if interval <= 0 || a.outbox.Mapping.Table == "" {
		<-ctx.Done()
		return nil
	}
	if pace.Wait(ctx, time.Until(a.audited.Add(interval))) != nil {
		return nil
	}
	now := time.Now()
	since := a.audited.Add(-gapMargin)
	if a.attempts > 0 {
		// Of what is older, attempts may be gone.
		since = pace.Later(since, now.Add(gapMargin-a.attempts))
	}
	return &inquiry{Heal: ledger.Heal{Why: "an audit found events that nobody had got", Since: since, From: a.hold.Settled, At: now}, pace: auditPace}
}

// audit sweeps the table once, and reports what it found.
func (a *auditor) audit(ctx context.Context, q *inquiry) error {
	began := time.Now()
	gap := ledger.Gap{Heal: q.Heal}
	// What is visible from here on has been through the stream, or never will.
	to, err := a.barriers.Wait(ctx)
	if err != nil {
		return err
	}
	gap.To = outbox.LSN(to)
	if a.outbox.Messages != "" && q.due && !q.backfill() {
		gap.Note = "logical messages that were committed in the gap cannot be found again"
	}
	if a.outbox.Mapping.Table != "" {
		if err := a.sweep(ctx, q, &gap); err != nil {
			return err
		}
	}
	gap.Now = time.Now()
	report := &gap
	if !q.due && gap.Events == 0 {
		report = nil
	}
	if err := a.ledger.Audited(ctx, a.hold, began, report); err != nil {
		return err
	}
	a.audited = began
	a.report(q, report)
	if report == nil || q.due {
		return nil // what is due was counted when it was detected
	}
	return tooManyGaps(ctx, a.ledger, a.hold.Slot, gap.Now)
}

// report says what came of an audit.
func (a *auditor) report(q *inquiry, gap *ledger.Gap) {
	level, text := zerolog.WarnLevel, "a gap in the stream is healed from the outbox table"
	switch {
	case gap == nil:
		a.log.Debug().Msg("audit: nothing is missing")
		return
	case q.backfill():
		level, text = zerolog.InfoLevel, "events older than the slot are queued"
	case gap.Note != "":
		level, text = zerolog.ErrorLevel, "a gap in the stream is healed as far as the outbox table goes"
	}
	a.log.WithLevel(level).Str("why", gap.Why).Stringer("from", gap.From).Stringer("to", gap.To).Time("since", gap.Since).
		Int64("events", gap.Events).Int64("deliveries", gap.Deliveries).Str("note", gap.Note).Msg(text)
}

// sweep reads the table and queues what is missing.
func (a *auditor) sweep(ctx context.Context, q *inquiry, gap *ledger.Gap) error {
	table, err := a.ledger.NewSweep(ctx, a.outbox.Mapping, q.Since)
	if err != nil {
		return err
	}
	if !table.Timed() && (!q.backfill() || !q.Since.IsZero()) {
		gap.Note = "the outbox table has no created_at column, so lost rows cannot be told from old ones: add one, or set track_commit_timestamp on the server"
		return nil
	}
	routed, err := a.ledger.Routed(ctx)
	if err != nil {
		return err
	}
	blocks, err := table.Blocks(ctx)
	if err != nil {
		return err
	}
	s := &sweep{auditor: a, inquiry: q, table: table, routed: routed, gap: gap, ordered: make(map[string]bool)}
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
	*auditor
	*inquiry

	table   *ledger.Sweep
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
	if _, err := s.barriers.Wait(ctx); err != nil {
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
	s.ids = s.dispatcher.Wanting(s.ids[:0], &outbox.Event{ID: r.ID, Type: r.Type, Tenant: r.Tenant})
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
	case s.backfill() && (created.IsZero() || created.Before(s.position.StartedAt)):
		return !r.CreatedAt.After(s.position.StartedAt)
	case created.IsZero(), created.Before(s.position.StartedAt):
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
			case s.dispatcher.Ordering(d.EndpointID) != config.OrderingNone:
				s.ordered[d.EndpointID] = true
			case !slices.Contains(unordered, d.EndpointID):
				unordered = append(unordered, d.EndpointID)
			}
		}
	}
	if len(ds) == 0 {
		return nil
	}
	queued, err := s.ledger.Queue(ctx, s.hold, ds, now)
	if err != nil {
		return err
	}
	s.gap.Deliveries += queued
	for _, id := range unordered {
		s.dispatcher.Due(id)
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
	s.ids = s.dispatcher.Route(s.ids[:0], &ev)
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
		s.dispatcher.Due(id)
	}
}
