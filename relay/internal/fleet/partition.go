package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/intake"
	"github.com/tailpost/tailpost/relay/internal/lease"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

const (
	// senderBytes bounds the events in memory of a process that has all partitions: each gets its
	// part of that, but not less than partitionBytes.
	senderBytes    = 64 << 20
	partitionBytes = 1 << 20
	// senderEvents and partitionEvents are the same of the events that may be in memory however
	// slowly receivers answer.
	senderEvents    = 1024
	partitionEvents = 16
	// recordPause is longer than that of one process: each partition has its own transactions, and
	// a part of the events.
	recordPause = 50 * time.Millisecond
)

// errAnew ends the hold of a partition whose settings changed.
var errAnew = fmt.Errorf("the configuration changed: %w", dispatch.ErrOrderly)

// partition is one hold of a partition: what is published to it is sent and recorded here.
type partition struct {
	s      *senders
	lease  *lease.Lease
	number int
	of     int           // how many there are
	over   chan struct{} // closed when nothing of it is in flight any more
	broken chan error    // gets why the hold must end

	routing atomic.Int64 // number of the dispatcher's routing, see ledger.Routing

	mu         sync.Mutex
	dispatcher *dispatch.Dispatcher // nil before it delivers
	ledger     *ledger.Ledger
	healing    bool // what has an order waits for the audit
}

func newPartition(s *senders, l *lease.Lease, number, of int) *partition {
	return &partition{s: s, lease: l, number: number, of: of, over: make(chan struct{}), broken: make(chan error, 1)}
}

// mine reports whether an endpoint is of this partition.
func (p *partition) mine(id string) bool {
	return jetstream.PartitionOf(id, p.of) == p.number
}

// end breaks the hold; what is in flight is still recorded.
func (p *partition) end(err error) {
	select {
	case p.broken <- err:
	default:
	}
}

// run takes the partition's row and delivers until ctx is done or the hold is broken, then drains.
func (p *partition) run(ctx context.Context) error {
	led, stream, in, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = led.Close(p.s.hard) }() // nothing is left to report to a database that is gone
	defer stream.Close()
	return p.deliver(ctx, stream, in)
}

// take connects and prepares. No other partition of this process does so meanwhile.
func (p *partition) take(ctx context.Context) (*ledger.Ledger, *jetstream.Source, intake.Options, error) {
	p.s.taking.Lock()
	defer p.s.taking.Unlock()
	led, err := p.s.fleet.opts.OpenLedger(ctx, func(err error) { p.end(fmt.Errorf("database connection lost: %w", err)) })
	if err != nil {
		return nil, nil, intake.Options{}, err
	}
	stream, in, err := p.prepare(ctx, led)
	if err != nil {
		_ = led.Close(p.s.hard) // what counts is why it is of no use
		return nil, nil, in, err
	}
	return led, stream, in, nil
}

// prepare takes the epoch, which deposes every earlier sender of the partition, and loads what the
// table has.
func (p *partition) prepare(ctx context.Context, led *ledger.Ledger) (*jetstream.Source, intake.Options, error) {
	o, now := &p.s.fleet.opts, time.Now()
	set := o.Settings()
	none := intake.Options{}
	hold, err := led.TakePartition(ctx, ledger.TakePartitionOptions{
		Slot: set.Config.Database.Slot, Partition: p.number, Partitions: p.of, Routing: set.Config.Routing(), Owner: o.Owner, Now: now,
	})
	if err != nil {
		return nil, none, err
	}
	p.routing.Store(hold.Routing)
	// After that: a heal that becomes due later is of what is published with a higher number.
	slot, _, err := led.Position(ctx, set.Config.Database.Slot)
	if err != nil {
		return nil, none, err
	}
	if err := led.EnsurePartitions(ctx, now); err != nil {
		return nil, none, err
	}
	recorded, until, err := led.Recorded(ctx, hold.Slot, hold.Settled, ledger.MostRecorded)
	if err != nil {
		return nil, none, err
	}
	begin := source.Position(hold.Settled)
	endpoints, feed, err := p.receivers(ctx, led, set, begin, now)
	if err != nil {
		return nil, none, err
	}
	frontier := source.NewFrontier(begin)
	var dispatcher *dispatch.Dispatcher
	stream := p.s.fan.Of(p.of).NewSource(jetstream.SourceOptions{
		Partition: p.number, Settled: begin, Origin: hold.Origin, Timeline: hold.Before.Timeline, Routing: p.routing.Load, Held: p.lease.Held, Logger: p.s.log,
		Awaited: func(at source.Position) { dispatcher.Await(at) },
	})
	dispatcher = dispatch.New(p.s.hard, dispatch.Options{
		Hold: hold, Ledger: led, Frontier: frontier, Endpoints: endpoints, Recorded: recorded, Healing: slot.Heal != nil,
		Ack: stream.Ack, Committed: o.Committed, Held: func() bool { return p.lease.Held() && led.Connected() }, Grace: o.Grace,
		MinEvents: max(partitionEvents, senderEvents/p.of), RecordPause: recordPause, MaxBytes: max(partitionBytes, senderBytes/int64(p.of)), Search: set.Config.Outbox.Search, Trace: o.Trace(), Logger: p.s.log,
	})
	in := intake.Options{Dispatcher: dispatcher, Frontier: frontier, Endpoints: feed, Upkeep: nothingBeside{}, Logger: p.s.log}
	if until != 0 {
		in.Again = &intake.Again{
			Until: source.Position(until), Fail: p.end,
			Of: func(events []string) (map[outbox.Pair]struct{}, error) {
				return led.RecordedOf(p.s.hard, hold.Slot, hold.Settled, events)
			},
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.Settings().Is != set.Is {
		return nil, none, errAnew // a reload did not find this hold
	}
	p.dispatcher, p.ledger, p.healing = dispatcher, led, slot.Heal != nil
	p.s.log.Info().Int("partition", p.number).Int64("epoch", hold.Epoch).Stringer("lsn", hold.Settled).Msg("partition taken, delivering")
	return stream, in, nil
}

// receivers returns the partition's endpoints, those of the configuration and those made through
// the API as they were where its stream goes on, and the feed of what changes about them.
func (p *partition) receivers(
	ctx context.Context, led *ledger.Ledger, set Settings, begin source.Position, now time.Time,
) ([]dispatch.Endpoint, *intake.Feed, error) {
	endpoints, err := p.configured(ctx, led, set)
	if err != nil {
		return nil, nil, err
	}
	feed, streamed, err := intake.Load(ctx, led, begin, intake.FeedOptions{
		Client: set.Tenants, Network: set.Config.TenantNetwork(), Versions: set.Config.Versions, Keys: set.Keys, Mine: p.mine, Logger: p.s.log,
	})
	if err != nil {
		return nil, nil, err
	}
	feed.Note(endpoints)
	endpoints = append(endpoints, streamed...)
	return endpoints, feed, p.s.fleet.opts.Queued(ctx, led, endpoints, now)
}

// configured returns the configuration's endpoints of this partition, with the state that the
// slot's holder has written down of them.
func (p *partition) configured(ctx context.Context, led *ledger.Ledger, set Settings) ([]dispatch.Endpoint, error) {
	var mine []dispatch.Endpoint
	var configs []config.Endpoint
	for _, e := range set.Endpoints() {
		if p.mine(e.Config.ID) {
			mine, configs = append(mine, e), append(configs, e.Config)
		}
	}
	states, err := led.States(ctx, configs)
	if err != nil {
		return nil, err
	}
	for i := range mine {
		mine[i].State = states[mine[i].Config.ID]
	}
	return mine, nil
}

// deliver runs what prepare has made.
func (p *partition) deliver(ctx context.Context, stream source.Source, in intake.Options) error {
	streaming, endStream := context.WithCancel(p.s.hard)
	defer endStream()
	taking, stopTaking := context.WithCancelCause(ctx)
	defer stopTaking(nil)
	in.Stopping = taking.Done()
	var group errgroup.Group
	group.Go(func() error {
		err := stream.Run(streaming, intake.New(in))
		if err == nil {
			err = context.Canceled
		}
		stopTaking(err)
		return nil
	})
	group.Go(func() error {
		select {
		case err := <-p.broken:
			stopTaking(err)
		case <-taking.Done():
		}
		return nil
	})
	group.Go(func() error {
		// The stream stays up while the dispatcher drains: what is recorded then is let go.
		defer endStream()
		err := p.dispatcher.Run(taking)
		stopTaking(err)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if cause := context.Cause(taking); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// reload has the partition go on with other settings.
func (p *partition) reload(ctx context.Context, next Settings, anew bool) {
	p.mu.Lock()
	dispatcher, led := p.dispatcher, p.ledger
	p.mu.Unlock()
	if dispatcher == nil || anew {
		p.end(errAnew)
		return
	}
	err := led.Readdress(next.Config.Database.URL)
	var slot ledger.Position
	if err == nil {
		slot, _, err = led.Position(ctx, next.Config.Database.Slot)
	}
	if err == nil && slot.Routing.Hash != next.Config.Routing() {
		p.end(errGivenBack) // until the slot's holder has the same
		return
	}
	var endpoints []dispatch.Endpoint
	if err == nil {
		endpoints, err = p.configured(ctx, led, next)
	}
	if err == nil {
		err = p.s.fleet.opts.Queued(ctx, led, endpoints, time.Now())
	}
	if err != nil {
		p.end(fmt.Errorf("%w: %w", errAnew, err))
		return
	}
	dispatcher.SetSearch(next.Config.Outbox.Search)
	dispatcher.Reload(endpoints)
	p.routing.Store(slot.Routing.Number)
}

// settled reports whether nothing waits for an audit.
func (p *partition) settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dispatcher != nil && !p.healing
}

// healed lets what has an order go on.
func (p *partition) healed() {
	p.mu.Lock()
	was, dispatcher := p.healing, p.dispatcher
	p.healing = false
	p.mu.Unlock()
	if was {
		dispatcher.Healed()
	}
}

// nothingBeside is the upkeep of a partition: the slot's holder has it.
type nothingBeside struct{}

func (nothingBeside) Moved(source.Position) {}
func (nothingBeside) WakeOperations()       {}

// delivering returns what delivers; nil: it does not yet.
func (p *partition) delivering() *dispatch.Dispatcher {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dispatcher
}
