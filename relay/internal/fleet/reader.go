package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/intake"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// ReaderOptions are what a Reader needs of a hold of the slot.
type ReaderOptions struct {
	Hold     ledger.Hold
	Timeline int32 // that the slot is on
	Routing  int64 // number of the first routing, see Route
	Ledger   *ledger.Ledger
	Barriers *source.Barriers
	Acked    func() source.Position // how far the slot is acknowledged
}

// Reader publishes what a hold of the slot reads. It belongs to the stream's goroutine, but for
// Run, Due, Route and Stuck.
type Reader struct {
	o   ReaderOptions
	log zerolog.Logger

	to         *jetstream.Publisher
	partitions int
	touched    bool
	told       source.Position // how far partitions were told to be at once
	toldAt     time.Time
	since      bool  // a transaction came since
	parts      []int // of one event, used again

	stirred chan struct{} // capacity 1: there is something in due
	mu      sync.Mutex
	due     map[string]struct{} // endpoints whose rows were changed beside the stream
}

// NewReader returns the Reader of a hold that publishes. NATS was reached, see Await.
func (f *Fleet) NewReader(o ReaderOptions) *Reader {
	return &Reader{
		o: o, log: f.log, partitions: f.config().Fanout.Partitions,
		to:      f.reached().NewPublisher(jetstream.PublisherOptions{By: by(&o.Hold, o.Timeline), Routing: o.Routing}),
		stirred: make(chan struct{}, 1), due: make(map[string]struct{}),
	}
}

// Route sets the number of the routing that is used from now on, see Ledger.Route. A nil Reader
// publishes nothing. It may be called from any goroutine.
func (p *Reader) Route(number int64) {
	if p != nil {
		p.to.Route(number)
	}
}

// Within returns the Reader as an intake uses it, within transactions.
func (p *Reader) Within() intake.Elsewhere { return within{p} }

// Run publishes until ctx is done, which is no error. It is called once.
func (p *Reader) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return p.to.Run(ctx) })
	group.Go(func() error {
		p.awaitPartitions(ctx)
		return nil
	})
	group.Go(func() error {
		p.tellDue(ctx)
		return nil
	})
	return group.Wait()
}

// Stuck returns since when NATS does not take what was read; zero: it does. A nil Reader publishes
// nothing.
func (p *Reader) Stuck() time.Time {
	if p == nil {
		return time.Time{}
	}
	return p.to.Stuck()
}

// Event implements dispatch.Elsewhere.
func (p *Reader) Event(ev *outbox.Event, endpoints []string, stored func()) {
	p.touched = true
	p.parts = p.parts[:0]
	for _, id := range endpoints {
		part := jetstream.PartitionOf(id, p.partitions)
		if !slices.Contains(p.parts, part) {
			p.parts = append(p.parts, part)
		}
	}
	if len(p.parts) > 1 {
		stored = after(len(p.parts), stored)
	}
	for _, part := range p.parts {
		p.to.Event(part, ev, stored)
	}
}

// after returns what calls f when it has been called n times.
func after(n int, f func()) func() {
	left := new(atomic.Int64)
	left.Store(int64(n))
	return func() {
		if left.Add(-1) == 0 {
			f()
		}
	}
}

// Due implements dispatch.Elsewhere. Unlike the others it may be called from any goroutine.
func (p *Reader) Due(endpoint string) {
	if endpoint == "" {
		return
	}
	p.mu.Lock()
	p.due[endpoint] = struct{}{}
	p.mu.Unlock()
	select {
	case p.stirred <- struct{}{}:
	default:
	}
}

// tellDue tells the partitions what is due, by way of the stream: so the hint is kept as well as
// the rows that it is about.
func (p *Reader) tellDue(ctx context.Context) {
	// What a reader before this one had no time to tell.
	if queues, err := p.o.Ledger.NextDue(ctx); err == nil {
		for endpoint := range queues {
			p.Due(endpoint)
		}
	}
	for {
		select {
		case <-p.stirred:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		due := p.due
		p.due = make(map[string]struct{})
		p.mu.Unlock()
		for endpoint := range due {
			content, err := postgres.DueMessage(endpoint)
			if err == nil {
				err = p.o.Ledger.Mark(ctx, content)
			}
			if err != nil && ctx.Err() == nil {
				p.log.Warn().Err(pglink.Describe(err)).Str("endpoint", endpoint).Msg("a sender is not told of rows that are due, and finds them later")
			}
		}
	}
}

// within is a Reader as an intake uses it, within transactions.
type within struct{ *Reader }

// Begin implements intake.Elsewhere.
func (p within) Begin(tx source.Tx) {
	p.touched, p.since = false, true
	p.to.Begin(tx)
}

// Row implements intake.Elsewhere.
func (p within) Row(endpoint string, row source.Row, stored func()) {
	p.touched = true
	p.to.Row(jetstream.PartitionOf(endpoint, p.partitions), row, stored)
}

// Due implements intake.Elsewhere.
func (p within) Due(endpoint string, stored func()) {
	p.touched = true
	p.to.Due(jetstream.PartitionOf(endpoint, p.partitions), endpoint, stored)
}

// Touched implements intake.Elsewhere.
func (p within) Touched() bool { return p.touched }

// Commit implements intake.Elsewhere.
func (p within) Commit(tx source.Tx, stored func()) {
	p.to.Commit(tx, stored)
	p.keepalive(tx.End)
}

// Flush implements intake.Elsewhere.
func (p within) Flush() { p.to.Flush() }

// Keepalive implements intake.Elsewhere.
func (p within) Keepalive(at source.Position) { p.keepalive(at) }

func (p *Reader) keepalive(at source.Position) {
	now := time.Now()
	if p.o.Barriers.Awaited() > p.told || p.since && now.Sub(p.toldAt) > recordEvery {
		p.told, p.toldAt, p.since = at, now, false
		p.to.KeepaliveNow(at)
		return
	}
	p.to.Keepalive(at)
}

// recordEvery is how often partitions that get nothing write down how far everything is, while
// transactions come: by that people are shown what is settled.
const recordEvery = 30 * time.Second

// DrainOptions are a hold of the slot that is about to publish to another number of partitions.
type DrainOptions struct {
	Hold     ledger.Hold
	Timeline int32           // that the slot is on
	Former   int             // to how many the holder before published; 0: it delivered itself
	Begin    source.Position // where this hold begins to read: all before it was published
	Ledger   *ledger.Ledger
}

// Drain waits until the former partitions have recorded all that was published to them, so that the
// audit need not look for it: any process with the same routing sends for them, whatever number of
// partitions its configuration has. It waits no longer than the slot waits for NATS. Its error is
// the cause of ctx's end.
func (f *Fleet) Drain(ctx context.Context, o DrainOptions) error {
	if o.Former == 0 || o.Former == f.Partitions() || f.Partitions() == 0 {
		return nil
	}
	f.log.Info().Int("partitions", o.Former).Msg("waiting until the former partitions have recorded what was published to them")
	err := f.drain(ctx, o)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		f.log.Warn().Err(pglink.Describe(err)).Msg("the former partitions have not recorded all that was published to them")
	}
	return nil
}

func (f *Fleet) drain(ctx context.Context, o DrainOptions) error {
	cause := errors.New("they took longer than fanout.hold")
	ctx, cancel := context.WithTimeoutCause(ctx, f.config().Fanout.Hold, cause)
	defer cancel()
	barrier := f.reached().Of(o.Former).NewPublisher(jetstream.PublisherOptions{By: by(&o.Hold, o.Timeline)})
	barrier.KeepaliveNow(o.Begin)
	var publishing errgroup.Group
	defer func() { _ = publishing.Wait() }() // it ends with ctx, which is no error
	defer cancel()
	publishing.Go(func() error { return barrier.Run(ctx) })
	for {
		settled, known, err := o.Ledger.SettledPartitions(ctx, o.Hold.Slot, o.Former)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case !known:
			return errors.New("their rows are not of this slot any more")
		case source.Position(settled) >= o.Begin:
			return nil
		}
		if pace.Wait(ctx, partitionsPoll) != nil {
			return context.Cause(ctx)
		}
	}
}

// partitionsPoll is how often the partitions' positions are asked for while somebody waits for
// them.
const partitionsPoll = 200 * time.Millisecond

// awaitPartitions lets barriers pass once every partition has recorded that it is beyond them.
func (p *Reader) awaitPartitions(ctx context.Context) {
	for pace.Wait(ctx, partitionsPoll) == nil {
		if p.o.Barriers.Awaited() == 0 {
			continue
		}
		settled, known, err := p.o.Ledger.SettledPartitions(ctx, p.o.Hold.Slot, p.partitions)
		switch {
		case err != nil && ctx.Err() == nil:
			p.log.Warn().Err(pglink.Describe(err)).Msg("the partitions' positions are not known, the audit waits for them")
		case known:
			p.o.Barriers.Settled(min(source.Position(settled), p.o.Acked()))
		}
	}
}
