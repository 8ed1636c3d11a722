package heal

import (
	"context"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

const (
	// queueRows and queueBytes bound the deliveries that are queued in one transaction: recording
	// waits for its end.
	queueRows  = 500
	queueBytes = 1 << 20
	// mostUnjudged is how many rows that cannot be judged are counted where no gap is known: each
	// is read twice for that.
	mostUnjudged = 1000
	// tellEvery is the least time between two messages of how much is queued so far.
	tellEvery = time.Minute
)

// scope is which rows an inquiry is about. What was written before the horizon is settled, whatever
// its time says; a backfill is about what is older.
func (a *Auditor) scope(q *Inquiry) scan.Scope {
	if q.backfill() {
		return scan.Scope{Since: q.Since}
	}
	scope := scan.Scope{Since: q.Since, Horizon: a.horizons.settled()}
	// Partitions are at several places, each with a time of its own: there is none before which
	// everything is of earlier events.
	if (q.isGap() || q.doubt) && !q.Since.IsZero() && a.Position.Partitions == 0 && !q.ofPartitions() {
		scope.Gap = scan.GapStart{At: q.Since.Add(GapMargin), Place: q.From, Now: time.Now()}
	}
	return scope
}

// sweep reads the table, queues what is missing, and returns how far the round is now.
func (a *Auditor) sweep(ctx context.Context, q *Inquiry, now scan.Horizon, gap *ledger.Gap) (round ledger.Round, err error) {
	scope := a.scope(q)
	table, err := a.Open(ctx, scope)
	if err != nil {
		return a.round, err
	}
	if !q.glance && !table.Timed() && scope.Horizon.XID == 0 && (!q.backfill() || !q.Since.IsZero()) {
		gap.Note = "the outbox table has no created_at column, so lost rows cannot be told from old ones: add one, or set track_commit_timestamp on the server"
		return a.round, nil
	}
	routed, err := a.Ledger.Routed(ctx)
	if err != nil {
		return a.round, err
	}
	spans, partly, err := a.spans(ctx, q, table)
	if err != nil {
		return a.round, err
	}
	s := &sweep{
		Auditor: a, Inquiry: q, table: table, scope: scope, floor: a.floor(q.At), routed: routed, gap: gap, ordered: make(map[string]bool),
	}
	if err := s.read(ctx, spans); err != nil {
		return a.round, err
	}
	round = a.round
	if q.routine && partly {
		if round, err = s.goRound(ctx, spans, now); err != nil {
			return a.round, err
		}
	}
	s.tell()
	s.noteUnjudged()
	s.noteAgain()
	return round, nil
}

// read looks at the rows of some blocks.
func (s *sweep) read(ctx context.Context, spans []scan.Span) error {
	var page pace.Page
	for _, span := range spans {
		for at := span.From; at < span.To; {
			n := min(page.Size(), span.To-at)
			read, err := s.page(ctx, at, n)
			if err != nil {
				return err
			}
			if err := s.rest(ctx); err != nil {
				return err
			}
			at += n
			page.Took(read)
		}
	}
	return nil
}

// spans returns the blocks that an inquiry reads, and whether that is not the whole table. The
// audit of an interval reads those with rows that are new by their time, where an index finds them:
// what it costs grows with those.
func (a *Auditor) spans(ctx context.Context, q *Inquiry, table Table) (spans []scan.Span, partly bool, err error) {
	switch {
	case q.glance:
		spans, err = a.newest(ctx, q, table)
		return spans, true, err
	case q.routine:
		spans, partly, err = table.Recent(ctx, q.Since)
		if err != nil || partly {
			return spans, partly, err
		}
	}
	blocks, _, err := table.Blocks(ctx)
	return []scan.Span{{To: blocks}}, false, err
}

// newest returns the blocks with rows created since shortly before the last settled transaction, if
// an index finds them and they are not too many: it is asked for after every crash.
func (a *Auditor) newest(ctx context.Context, q *Inquiry, table Table) ([]scan.Span, error) {
	spans, ok, err := table.Recent(ctx, q.Since.Add(GapMargin-glanceMargin))
	if err != nil {
		return nil, err
	}
	left, blocks := "no index finds rows by their time", int64(0)
	for _, span := range spans {
		blocks += span.To - span.From
	}
	if ok && blocks <= glanceBlocks {
		return spans, nil
	}
	if ok {
		left = "too many rows are new"
	}
	a.log.Info().Str("why", q.Why).Str("reason", left).
		Msg("the relay did not stop in order; should somebody else have moved the slot since, the next audit of the interval finds what it missed")
	return nil, nil
}

// sweep is one way through the table.
type sweep struct {
	*Auditor
	*Inquiry

	table    Table
	scope    scan.Scope
	floor    time.Time
	routed   map[string]ledger.Routed
	gap      *ledger.Gap
	ordered  map[string]bool // endpoints with an order that got deliveries
	unjudged int64           // rows of which the table does not tell whether they were lost, at most mostUnjudged where no gap is known
	again    int64           // rows of which it does not tell whether their ids were used again

	busy time.Duration // how long the database worked since the last rest
	told time.Time     // when the log was last told how much is queued

	ids  []string
	last time.Time // of the event that came last, and how many had that time
	ties int64
}

// work does something in the database, which rest rests for. It returns how long that took.
func (s *sweep) work(do func() error) (took time.Duration, err error) {
	began := time.Now()
	err = do()
	took = time.Since(began)
	s.busy += took
	return took, err
}

// rest leaves the database alone, as long as the pace says, for what it did since the last rest. No
// work is rested for twice: what is missing waits for every rest.
func (s *sweep) rest(ctx context.Context) error {
	took := s.busy
	s.busy = 0
	return pace.Wait(ctx, pace.Rest{Times: s.pace}.After(took))
}

// page looks at some blocks, and queues what is missing. It returns how long reading them took.
func (s *sweep) page(ctx context.Context, from, n int64) (read time.Duration, err error) {
	var rows []scan.Row
	read, err = s.work(func() (err error) {
		rows, err = s.table.Rows(ctx, from, n)
		return err
	})
	if err != nil {
		return read, err
	}
	rows = slices.DeleteFunc(rows, func(r scan.Row) bool { return !s.suspicious(&r) })
	if len(rows) == 0 {
		return read, nil
	}
	// Some may be on their way through the stream. Once it has passed this moment, what nobody has
	// got nobody will get.
	if _, err := s.Barriers.Wait(ctx); err != nil {
		return read, err
	}
	for len(rows) > 0 {
		n, bytes := 0, 0
		for n < len(rows) && n < chunkRows && (n == 0 || bytes+rows[n].Size <= chunkBytes) {
			bytes += rows[n].Size
			n++
		}
		if err := s.chunk(ctx, rows[:n]); err != nil {
			return read, err
		}
		rows = rows[n:]
	}
	return read, nil
}

// chunk queues the deliveries that are missing of the events of some rows.
func (s *sweep) chunk(ctx context.Context, rows []scan.Row) error {
	places := make([]scan.RowPlace, len(rows))
	created := make(map[string]time.Time, len(rows)) // as the rows were judged by: the time of a commit, the end of a day
	for i := range rows {
		places[i] = rows[i].RowPlace
		created[rows[i].ID] = rows[i].CreatedAt
	}
	var found []scan.Found
	_, err := s.work(func() (err error) {
		found, err = s.table.Events(ctx, places)
		return err
	})
	if err != nil {
		return err
	}
	for i := range found {
		if f := &found[i]; f.Event.CreatedAt.IsZero() {
			f.Event.CreatedAt = created[f.ID]
		}
	}
	slices.SortStableFunc(found, func(a, b scan.Found) int { return a.Event.CreatedAt.Compare(b.Event.CreatedAt) })
	now := time.Now()
	var part batch
	for i := range found {
		ds := s.deliveries(&found[i], created[found[i].ID], now)
		if len(ds) > 0 {
			s.gap.Events++
		}
		for _, d := range ds {
			if part.full(&d) {
				if err := s.queue(ctx, &part, now); err != nil {
					return err
				}
			}
			part.add(d)
		}
	}
	return s.queue(ctx, &part, now)
}

// batch is the deliveries queued in one transaction.
type batch struct {
	ds    []outbox.Delivery
	bytes int
}

func (b *batch) full(d *outbox.Delivery) bool {
	return len(b.ds) == queueRows || len(b.ds) > 0 && b.bytes+len(d.Event.Payload) > queueBytes
}

func (b *batch) add(d outbox.Delivery) {
	b.ds = append(b.ds, d)
	b.bytes += len(d.Event.Payload)
}

// queue writes a batch, tells whom it concerns, and empties it.
func (s *sweep) queue(ctx context.Context, b *batch, now time.Time) error {
	if len(b.ds) == 0 {
		return nil
	}
	_, err := s.work(func() error {
		queued, err := s.Ledger.Queue(ctx, s.Hold, b.ds, now)
		s.gap.Deliveries += queued
		return err
	})
	if err != nil {
		return err
	}
	s.tellProgress()
	var unordered []string
	for i := range b.ds {
		switch id := b.ds[i].EndpointID; {
		case s.Dispatcher.Ordering(id) != config.OrderingNone:
			s.ordered[id] = true
		case !slices.Contains(unordered, id):
			unordered = append(unordered, id)
		}
	}
	for _, id := range unordered {
		s.Dispatcher.Due(id)
	}
	b.ds, b.bytes = b.ds[:0], 0
	// Recording waits for the slot's row while a batch has it.
	return s.rest(ctx)
}

// tellProgress tells the log that something is being queued: at the first of it, and then at times.
// The report comes when all is queued, and endpoints with an order wait until then.
func (s *sweep) tellProgress() {
	now := time.Now()
	if s.gap.Deliveries == 0 || now.Sub(s.told) < tellEvery {
		return
	}
	s.told = now
	level := zerolog.WarnLevel
	if s.Why == whyBackfill {
		level = zerolog.InfoLevel
	}
	s.log.WithLevel(level).Str("why", s.Why).Int64("events", s.gap.Events).Int64("deliveries", s.gap.Deliveries).
		Msg("events that nobody had got are being queued from the outbox table")
}

// tell lets the endpoints with an order look at the table.
func (s *sweep) tell() {
	for id := range s.ordered {
		s.Dispatcher.Due(id)
	}
}
