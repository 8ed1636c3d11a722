package heal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/scan"
	"github.com/tailpost/tailpost/relay/internal/source"
)

const (
	// auditRetry is when an audit that failed is tried again.
	auditRetry = 10 * time.Minute
	// healPace and auditPace are how long the sweep rests after each page, as multiples of what the
	// page took.
	healPace  = 1
	auditPace = 9
	// GapMargin is how much older than the last settled transaction an event may say it is and
	// still have been committed after it: transactions take time, and clocks differ.
	GapMargin = time.Hour
	// glanceMargin is that of a glance, and glanceBlocks is how many blocks it reads at most: 64
	// MiB of WAL, the most that a relay lets go of without a record, cannot fill more with new
	// rows.
	glanceMargin = 5 * time.Minute
	glanceBlocks = 16 << 10
	// chunkRows and chunkBytes bound the events that are read and queued at once.
	chunkRows  = 256
	chunkBytes = 1 << 20
)

// Ledger is the database's side of an audit; *ledger.Ledger is one.
type Ledger interface {
	Routed(ctx context.Context) (map[string]ledger.Routed, error)
	Queue(ctx context.Context, hold ledger.Hold, ds []outbox.Delivery, now time.Time) (queued int64, err error)
	// Horizon returns the present one.
	Horizon(ctx context.Context) (scan.Horizon, error)
	Audited(ctx context.Context, hold ledger.Hold, audit ledger.Audit) error
	Counter
}

// Table is the outbox table, read piece by piece; *scan.Sweep is one.
type Table interface {
	// Timed reports whether rows have a time.
	Timed() bool
	// Blocks is how many it has: in the largest of its parts, and in all of them.
	Blocks(ctx context.Context) (most, all int64, err error)
	// Recent returns the blocks with rows created since a time; false: no index tells them.
	Recent(ctx context.Context, since time.Time) (spans []scan.Span, ok bool, err error)
	Rows(ctx context.Context, from, n int64) ([]scan.Row, error)
	Events(ctx context.Context, places []scan.RowPlace) ([]scan.Found, error)
}

// Dispatcher is where what is found goes; *dispatch.Dispatcher is one.
type Dispatcher interface {
	// Wanting appends the endpoints that an event of this id, type and tenant may go to, Route
	// those that it goes to.
	Wanting(dst []string, ev *outbox.Event) []string
	Route(dst []string, ev *outbox.Event) []string
	Ordering(endpointID string) config.Ordering
	Due(endpointID string)
	// Healed lets endpoints with an order go on.
	Healed()
}

// Barrier tells when everything that was committed before it is settled; *source.Barriers is one.
type Barrier interface {
	Wait(ctx context.Context) (source.Position, error)
}

// AuditorOptions are the dependencies of an Auditor.
type AuditorOptions struct {
	Ledger     Ledger
	Open       func(ctx context.Context, scope scan.Scope) (Table, error) // the outbox table
	Dispatcher Dispatcher
	Barriers   Barrier
	Hold       ledger.Hold
	Position   ledger.Position // what the slot's row says
	Outbox     config.Outbox
	Attempts   time.Duration                   // how long attempts are kept; 0: for ever
	Terms      func(ev *outbox.Event) []string // what an event is found by; nil: by nothing
	Ended      func(error)                     // takes what came of each audit; nil: nobody wants to know
	Logger     zerolog.Logger
}

// whyBackfill is the heal that outbox.start asks for when the slot is taken for the first time: it
// is no gap.
const whyBackfill = "backfill"

// Auditor finds events of the outbox table that the stream did not bring. It belongs to one
// goroutine.
type Auditor struct {
	AuditorOptions

	audited  time.Time // events created before it are settled
	horizons horizons
	round    ledger.Round
	healed   chan struct{} // closed once no gap waits to be healed
	log      zerolog.Logger
}

// NewAuditor returns an Auditor.
func NewAuditor(o AuditorOptions) *Auditor {
	if o.Terms == nil {
		o.Terms = func(*outbox.Event) []string { return nil }
	}
	return &Auditor{
		AuditorOptions: o, audited: pace.Later(o.Position.AuditedAt, o.Position.StartedAt), healed: make(chan struct{}), log: o.Logger,
		horizons: horizons{}.with(o.Position.Horizon), round: o.Position.Round,
	}
}

// horizons are those of the audits of the last hour, and the last one before that, in order. An
// audit looks once more at what was written within the hour: whatever took something out of
// Tailpost's own tables is more likely to be recent.
type horizons []scan.Horizon

// with returns the horizons with another one, which is not known if it is zero.
func (hs horizons) with(h scan.Horizon) horizons {
	if h.XID == 0 {
		return hs
	}
	if n := len(hs); n < 2 || h.At.Sub(hs[n-1].At) >= GapMargin/60 { // not one for each second
		hs = append(slices.Clone(hs), h)
	}
	for len(hs) > 1 && h.At.Sub(hs[1].At) >= GapMargin {
		hs = hs[1:]
	}
	return hs
}

// settled returns the horizon before which everything is settled, or older than the slot; zero: it
// is not known.
func (hs horizons) settled() scan.Horizon {
	if len(hs) == 0 {
		return scan.Horizon{}
	}
	return hs[0]
}

// Healed is closed once no gap waits to be healed.
func (a *Auditor) Healed() <-chan struct{} { return a.healed }

// Inquiry says what an audit looks at.
type Inquiry struct {
	ledger.Heal

	// due says that the heal is noted in the database: it is a gap, and reported whatever it finds.
	due bool
	// gapFrom is when the stream last brought everything. Zero: it always did, as far as anybody
	// knows.
	gapFrom time.Time
	pace    int // rests after each page, as multiples of what the page took
	// doubt says that something may be missing.
	doubt bool
	// glance says that only the newest rows are looked at, as an index finds them.
	glance bool
	// routine says that nothing is known to be missing, nor likely to be.
	routine bool
}

// Certain reports whether something is known to be missing, so that endpoints with an order are to
// wait for it. A doubt holds nobody up: it comes of every crash.
func (q *Inquiry) Certain() bool { return q != nil && q.due }

// backfill reports whether rows older than the slot are asked for. A gap may have come upon a
// backfill that was not over.
func (q *Inquiry) backfill() bool { return slices.Contains(strings.Split(q.Why, "; "), whyBackfill) }

// WhyPartitions is why the table is looked at once partitions of a fan-out were given up: what was
// published and not recorded is in streams that nobody reads any more.
const WhyPartitions = "not all that a fan-out had published was recorded when its partitions were given up: NATS took nothing, or the fan-out or the database was changed"

// ofPartitions reports whether what senders left behind is asked for.
func (q *Inquiry) ofPartitions() bool { return strings.Contains(q.Why, WhyPartitions) }

// isGap reports whether the stream is known to have missed something.
func (q *Inquiry) isGap() bool { return q.due && q.Why != whyBackfill }

// Run audits until ctx is done: first what is wanted at once, if anything, then at every interval.
func (a *Auditor) Run(ctx context.Context, first *Inquiry) error {
	defer a.Dispatcher.Healed()
	healed := sync.OnceFunc(func() { close(a.healed) })
	for q := first; ; {
		if q == nil {
			healed()
			if q = a.await(ctx); q == nil {
				return nil
			}
		}
		err := a.audit(ctx, q)
		if a.Ended != nil && ctx.Err() == nil {
			a.Ended(err)
		}
		a.Dispatcher.Healed()
		switch {
		case err == nil:
			q = nil
		case ctx.Err() != nil, errors.Is(err, ledger.ErrDeposed):
			return nil
		case errors.Is(err, ErrTooManyGaps):
			return err
		default:
			a.log.Error().Err(err).Str("why", q.Why).Msg("the audit of the outbox table failed: what the stream lost stays undelivered until it succeeds")
			_ = pace.Wait(ctx, auditRetry) // what is done next looks at ctx
		}
	}
}

// await waits for the next audit of the interval; nil: there is none before ctx is done.
func (a *Auditor) await(ctx context.Context) *Inquiry {
	interval := a.Outbox.AuditInterval
	if interval <= 0 || a.Outbox.Mapping.Table == "" {
		<-ctx.Done()
		return nil
	}
	if pace.Wait(ctx, time.Until(a.audited.Add(interval))) != nil {
		return nil
	}
	now := time.Now()
	since := pace.Later(a.audited.Add(-GapMargin), a.floor(now))
	return &Inquiry{Heal: ledger.Heal{Why: "an audit found events that nobody had got", Since: since, From: a.Hold.Settled, At: now}, pace: auditPace, routine: true}
}

// floor is the time before which nothing can be told of an event that nobody has: it may be older
// than the slot, or its attempts may be gone.
func (a *Auditor) floor(now time.Time) time.Time {
	if a.Attempts == 0 {
		return a.Position.StartedAt
	}
	return pace.Later(a.Position.StartedAt, now.Add(GapMargin-a.Attempts))
}

// audit sweeps the table once, and reports what it found.
func (a *Auditor) audit(ctx context.Context, q *Inquiry) error {
	began := time.Now()
	gap := ledger.Gap{Heal: q.Heal}
	horizon, err := a.Ledger.Horizon(ctx)
	if err != nil {
		return err
	}
	// What was written before the horizon is visible now. What is visible from here on has been
	// through the stream, or never will.
	to, err := a.Barriers.Wait(ctx)
	if err != nil {
		return err
	}
	gap.To = outbox.LSN(to)
	if a.Outbox.Messages != "" && q.isGap() {
		gap.Note = "logical messages that were committed in the gap cannot be found again"
	}
	round := a.round
	if a.Outbox.Mapping.Table != "" {
		if round, err = a.sweep(ctx, q, horizon, &gap); err != nil {
			return err
		}
	}
	gap.Now = time.Now()
	report := &gap
	if !q.due && gap.Events == 0 {
		report = nil
	}
	known := a.horizons.with(horizon)
	ended := ledger.Audit{Before: began, Horizon: known.settled(), Round: round, Found: report}
	if q.glance { // it has not seen the rest of the table
		ended.Before, ended.Horizon = time.Time{}, scan.Horizon{}
	}
	if err := a.Ledger.Audited(ctx, a.Hold, ended); err != nil {
		return err
	}
	if !q.glance {
		a.audited, a.horizons, a.round = began, known, round
	}
	a.report(q, report)
	if report == nil || q.due {
		return nil // what is due was counted when it was detected
	}
	return Limit(ctx, a.Ledger, a.Hold.Slot, gap.Now)
}

// report says what came of an audit.
func (a *Auditor) report(q *Inquiry, gap *ledger.Gap) {
	level, text := zerolog.WarnLevel, "a gap in the stream is healed from the outbox table"
	switch {
	case gap == nil:
		a.log.Debug().Msg("audit: nothing is missing")
		return
	case !q.isGap() && q.backfill():
		level, text = zerolog.InfoLevel, "events older than the slot are queued"
	case gap.Note != "":
		level, text = zerolog.ErrorLevel, "a gap in the stream is healed as far as the outbox table goes"
	}
	since := func(e *zerolog.Event) {
		if !gap.Since.IsZero() { // else all of the table was looked at
			e.Time("since", gap.Since)
		}
	}
	a.log.WithLevel(level).Str("why", gap.Why).Stringer("from", gap.From).Stringer("to", gap.To).Func(since).
		Int64("events", gap.Events).Int64("deliveries", gap.Deliveries).Str("note", gap.Note).Msg(text)
}

// Due returns the inquiry of a heal that is due.
func Due(h ledger.Heal) *Inquiry {
	q := &Inquiry{Heal: h, due: true, pace: healPace}
	if q.isGap() {
		q.gapFrom = q.Since.Add(GapMargin)
	}
	return q
}
