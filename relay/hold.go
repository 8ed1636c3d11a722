package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/fleet"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/intake"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
	"github.com/tailpost/tailpost/relay/internal/upkeep"
)

// hold takes the slot and delivers until ctx is done or the slot, a connection or the database is
// lost. By the time it returns everything that was in flight is recorded, or another relay is in
// charge. delivered says that it got as far as delivering.
func (r *Relay) hold(ctx, hard context.Context, led *ledger.Ledger) (delivered bool, err error) {
	if err := r.fleet.Await(ctx, led); err != nil {
		return false, err
	}
	stream, err := takeSlot(ctx, r, led)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	h, err := r.prepareAlive(ctx, hard, led, stream)
	if err != nil {
		return false, err
	}
	defer r.release()
	return true, h.run(ctx)
}

// prepareAlive prepares a hold and keeps the stream alive meanwhile. It gives up when the ledger
// loses a connection, as a hold does: a server that shuts down waits until the stream is closed, so
// the stream must not wait for the server.
func (r *Relay) prepareAlive(ctx, hard context.Context, led *ledger.Ledger, stream *postgres.Stream) (h *holding, err error) {
	preparing, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	r.setLost(lost)
	defer r.setLost(nil)
	err = stream.While(func() (err error) {
		h, err = r.prepare(preparing, hard, led, stream)
		return err
	})
	if cause := context.Cause(preparing); err != nil && cause != nil && ctx.Err() == nil {
		err = cause
	}
	return h, err
}

func (r *Relay) setLost(lost context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = lost
}

// holding is one hold of the slot.
type holding struct {
	r          *Relay
	hard       context.Context //nolint:containedctx // Bounds the draining, which outlives the context of run.
	hold       ledger.Hold
	timeline   int32 // that the slot is on
	routing    int64 // number of the routing, where it publishes
	stream     source.Source
	ledger     *ledger.Ledger
	dispatcher *dispatch.Dispatcher
	intake     intake.Options
	barriers   *source.Barriers
	auditor    *heal.Auditor
	inquiry    *heal.Inquiry // what the auditor is to look at first; nil: nothing
	upkeep     *upkeep.Upkeep
	reader     *fleet.Reader // nil: nobody else delivers what is read
	broken     chan error    // gets why the hold must end
}

// errEnded says that a hold ended before anything was sent. Another relay may have the slot now.
var errEnded = errors.New("the stream ended before it could deliver")

// prepare takes the epoch, which deposes every earlier holder, and loads what the table has.
func (r *Relay) prepare(ctx, hard context.Context, led *ledger.Ledger, stream *postgres.Stream) (*holding, error) {
	set, info, now := r.settings(), stream.Info(), time.Now()
	cfg := set.cfg
	r.clocks.Database(telemetry.Apart(info.Clock, info.Asked, info.Answered))
	found, err := claim(ctx, r, led, &info, now)
	if err != nil {
		return nil, err
	}
	hold := found.hold
	if err := led.EnsurePartitions(ctx, now); err != nil {
		return nil, err
	}
	begin, partitions := found.begin, r.fleet.Partitions()
	recorded, until, err := recordedFrom(ctx, led, hold, begin, partitions)
	if err != nil {
		return nil, err
	}
	if err := publishing(ctx, r, led, &found, partitions, now); err != nil {
		return nil, err
	}
	endpoints, feed, err := r.receivers(ctx, led, set, begin, now)
	if err != nil {
		return nil, err
	}
	if err := r.note(ctx, led, hold, cfg, now); err != nil {
		return nil, err
	}
	read, err := reading(ctx, r, led, hold, endpoints)
	if err != nil {
		return nil, err
	}
	h := &holding{r: r, hard: hard, hold: hold, timeline: info.Timeline, routing: found.routing, ledger: led, broken: make(chan error, 1), barriers: barriers(led, hold.Epoch), inquiry: found.first}
	read.Table, read.Encoding, read.Barriers = info.Table, info.Encoding, h.barriers
	h.stream = postgres.NewSource(stream, read)
	h.assemble(begin, endpoints, recorded, feed, partitions > 0, &info)
	h.besides(cfg, hold, found)
	h.intake.Upkeep = h.upkeep
	if until != 0 {
		h.intake.Again = h.again(begin, until)
	}
	// All of the above waits for a database that is out of reach. Nothing must be sent before it is
	// known that the stream has outlived that.
	holds, err := led.Holds(ctx, hold, info.PID)
	switch {
	case err != nil:
		return nil, err
	case !holds:
		// Not only another relay ends a stream: WAL that cannot be decoded does too, at every try.
		return nil, fmt.Errorf("%w: %w", errEnded, stream.Ended(ctx))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set != set {
		return nil, errAnew // a reload found no hold, and leaves it to the next one
	}
	r.enter(Delivering)
	r.holding, r.status.Epoch, r.status.Settled = h, hold.Epoch, hold.Settled
	r.log.Info().Str("slot", hold.Slot).Int64("epoch", hold.Epoch).Stringer("lsn", hold.Settled).
		Bool("slot_created", info.SlotCreated).Msg("slot taken, delivering")
	return h, nil
}

// recordedFrom returns what the stream brings again although it is recorded, see Ledger.Recorded.
// Of what goes to partitions their senders know.
func recordedFrom(
	ctx context.Context, led *ledger.Ledger, hold ledger.Hold, begin source.Position, partitions int,
) (recorded map[outbox.Pair]struct{}, until outbox.LSN, err error) {
	if partitions > 0 {
		return nil, 0, nil
	}
	return led.Recorded(ctx, hold.Slot, outbox.LSN(begin), ledger.MostRecorded)
}

// assemble makes what the stream goes through: an intake, a dispatcher, and, where it is published,
// who does that.
func (h *holding) assemble(
	begin source.Position, endpoints []dispatch.Endpoint, recorded map[outbox.Pair]struct{}, feed *intake.Feed, publishes bool, info *postgres.Info,
) {
	tracker := source.NewFrontier(begin)
	options := dispatch.Options{
		Hold: h.hold, Ledger: h.ledger, Frontier: tracker, Endpoints: endpoints, Recorded: recorded,
		Healing: h.inquiry.Certain(), Ack: h.ack, Committed: h.committed, Held: h.held, Grace: h.r.opts.Grace,
		Search: h.r.config().Outbox.Search, Trace: traceFunc(h.r), Logger: h.r.log,
	}
	h.intake = intake.Options{Frontier: tracker, Endpoints: feed, Logger: h.r.log}
	if publishes {
		h.reader = h.r.fleet.NewReader(fleet.ReaderOptions{
			Hold: h.hold, Timeline: info.Timeline, Routing: h.routing, Ledger: h.ledger, Barriers: h.barriers,
			Acked: func() source.Position { return ackedSoFar(h.r) },
		})
		options.Elsewhere, h.intake.Elsewhere = h.reader, h.reader.Within()
	}
	h.dispatcher = dispatch.New(h.hard, options)
	h.intake.Dispatcher = h.dispatcher
	if publishes {
		h.intake.Pending = h.dispatcher.Pending
	}
}

// again looks up what is recorded of what the stream brings again: it is too much for the memory.
func (h *holding) again(begin source.Position, until outbox.LSN) *intake.Again {
	slot := h.r.config().Database.Slot
	return &intake.Again{
		Until: source.Position(until), Fail: h.end,
		Of: func(events []string) (map[outbox.Pair]struct{}, error) {
			return h.ledger.RecordedOf(h.hard, slot, outbox.LSN(begin), events)
		},
	}
}

// besides makes what works beside delivery: the audit and the upkeep.
func (h *holding) besides(cfg *config.Config, hold ledger.Hold, found taken) {
	terms := func(ev *outbox.Event) []string { return h.r.config().Outbox.Search.Terms(ev) }
	h.auditor = heal.NewAuditor(heal.AuditorOptions{
		Ledger: h.ledger, Dispatcher: h.dispatcher, Barriers: h.barriers, Hold: hold, Position: found.position, Outbox: cfg.Outbox,
		Attempts: max(cfg.Retention.Attempts, 0), Terms: terms, Ended: h.r.rare.Audited, Logger: h.r.log,
		Open: func(ctx context.Context, scope scan.Scope) (heal.Table, error) {
			return h.ledger.NewSweep(ctx, cfg.Outbox.Mapping, scope)
		},
	})
	h.upkeep = upkeep.New(upkeep.Options{
		Ledger: h.ledger, Dispatcher: h.dispatcher, Hold: hold, Barriers: h.barriers, Outbox: cfg.Outbox,
		Terms: terms, Retention: func() config.Retention { return h.r.config().Retention }, Healed: h.auditor.Healed(),
		Publication: found.publication, Endpoints: found.endpoints, Standbys: found.standbys, End: h.end, Logger: h.r.log,
	})
}

// receivers returns every endpoint that there is to deliver to, those of the configuration and
// those made through the API as they were where the stream begins, and the feed of what changes
// about them.
func (r *Relay) receivers(
	ctx context.Context, led *ledger.Ledger, set *settings, begin source.Position, now time.Time,
) ([]dispatch.Endpoint, *intake.Feed, error) {
	endpoints := set.endpoints()
	if err := r.mirror(ctx, led, set.cfg, endpoints, now); err != nil {
		return nil, nil, err
	}
	feed, streamed, err := intake.Load(ctx, led, begin, intake.FeedOptions{
		Client: set.clients.tenants, Network: set.cfg.TenantNetwork(), Versions: set.cfg.Versions, Keys: set.keyring, Logger: r.log,
	})
	if err != nil {
		return nil, nil, err
	}
	feed.Note(endpoints)
	endpoints = append(endpoints, streamed...)
	return endpoints, feed, queued(ctx, led, endpoints, now)
}

// barriers returns the barriers of a hold, which go through the slot as logical messages of our
// own.
func barriers(led *ledger.Ledger, epoch int64) *source.Barriers {
	return source.NewBarriers(epoch, func(ctx context.Context, name string) error {
		content, err := postgres.BarrierMessage(name)
		if err != nil {
			return err
		}
		return led.Mark(ctx, content)
	})
}

// endpoints returns what there is to deliver to by the configuration, without its state.
func (s *settings) endpoints() []dispatch.Endpoint {
	endpoints := make([]dispatch.Endpoint, len(s.cfg.Endpoints))
	for i := range s.cfg.Endpoints {
		ep := s.cfg.Endpoints[i]
		endpoints[i] = dispatch.Endpoint{Config: ep, Sender: s.senders[ep.ID], Proof: ep.Proof()}
	}
	return endpoints
}

// mirror writes the config's endpoints into their table, and adds the state that they have there.
// Endpoints of the API that are of before there were versions are pinned to the oldest.
func (r *Relay) mirror(ctx context.Context, led *ledger.Ledger, cfg *config.Config, endpoints []dispatch.Endpoint, now time.Time) error {
	states, err := led.Mirror(ctx, cfg.Endpoints, now)
	if err != nil {
		return err
	}
	for i := range endpoints {
		endpoints[i].State = states[endpoints[i].Config.ID]
	}
	if len(cfg.Catalogue.Types) > 0 {
		described, err := led.Describe(ctx, cfg.Catalogue.Types, now)
		if err != nil {
			return err
		}
		r.log.Info().Int("types", len(cfg.Catalogue.Types)).Int64("changed", described).Msg("the catalogue has what the configuration's files describe")
	}
	oldest := cfg.Versions.Oldest()
	if oldest == "" {
		return nil
	}
	pinned, err := led.PinOldest(ctx, oldest, now)
	if pinned > 0 {
		r.log.Info().Int64("endpoints", pinned).Str("version", oldest).Msg("endpoints made before there were versions are pinned to the oldest one")
	}
	return err
}

// note writes down what the configuration says beside its endpoints, for a plan to compare. A role
// that was granted its tables by an earlier release may not: a plan says then that it cannot
// compare, and deliveries do not depend on it.
func (r *Relay) note(ctx context.Context, led *ledger.Ledger, hold ledger.Hold, cfg *config.Config, now time.Time) error {
	err := led.NoteConfiguration(ctx, hold, cfg.Fingerprints(), now)
	if pglink.Is(err, pglink.InsufficientPrivilege) {
		r.log.Warn().Err(err).Msg("the role lacks grants that tailpost migrate --print has, so that tailpost plan cannot compare all of the configuration")
		return nil
	}
	return err
}

// queued adds to endpoints what the table has for them.
func queued(ctx context.Context, led *ledger.Ledger, endpoints []dispatch.Endpoint, now time.Time) error {
	queues, err := led.NextDue(ctx)
	if err != nil {
		return err
	}
	for i := range endpoints {
		e := &endpoints[i]
		q, waits := queues[e.Config.ID]
		holds := e.Config.OnDead == config.OnDeadHold
		if !waits && !holds {
			continue
		}
		e.Due = q.Next
		// The ordering may have been another one when they were written.
		if q.Unscheduled && e.Config.Ordering != config.OrderingStrict {
			e.Due = now
		}
		switch e.Config.Ordering {
		case config.OrderingNone:
			e.Reread = q.Unscheduled // beside delivery: there may be millions
		case config.OrderingKey:
			if err := loosen(ctx, led, e.Config.ID, now); err != nil {
				return err
			}
			e.KeyHeads, err = led.KeyHeads(ctx, e.Config.ID, holds, dispatch.MostKeys)
			if e.ManyKeys = errors.Is(err, ledger.ErrManyKeys); e.ManyKeys {
				e.Due, err = now, nil
			}
		case config.OrderingStrict:
			e.KeyHeads, err = led.First(ctx, e.Config.ID, holds)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// loosen makes due what has no key and waits although only keys have an order.
func loosen(ctx context.Context, led *ledger.Ledger, endpointID string, now time.Time) error {
	for {
		more, err := led.Loosen(ctx, endpointID, false, now)
		if err != nil || !more {
			return err
		}
	}
}

// run delivers until ctx is done or the hold is broken, then drains.
func (h *holding) run(ctx context.Context) error {
	streaming, endStream := context.WithCancel(h.hard)
	defer endStream()
	taking, stopTaking := context.WithCancelCause(ctx)
	defer stopTaking(nil)
	in := h.intake
	in.Stopping = taking.Done()

	var group errgroup.Group
	group.Go(func() error {
		err := h.stream.Run(streaming, intake.New(in))
		if err == nil {
			err = context.Canceled
		}
		stopTaking(err)
		return nil
	})
	group.Go(func() error {
		select {
		case err := <-h.broken:
			stopTaking(err)
			if !errors.Is(err, errAnew) {
				endStream() // the server may be shutting down, and waits for this connection to go
			}
		case <-taking.Done():
		}
		return nil
	})
	group.Go(func() error {
		// The stream stays up while the dispatcher drains, for the last acknowledgement.
		defer endStream()
		if err := h.dispatcher.Run(taking); err != nil {
			stopTaking(err)
			return err
		}
		return nil
	})
	group.Go(func() error {
		if err := h.auditor.Run(taking, h.inquiry); err != nil {
			h.end(err)
		}
		return nil
	})
	if h.reader != nil {
		group.Go(func() error { return h.reader.Run(streaming) })
	}
	group.Go(func() error {
		h.r.fleet.Watch(taking, fleet.WatchOptions{Hold: h.hold, Timeline: h.timeline, Members: h.ledger, Reader: h.reader, End: h.end})
		return nil
	})
	for _, task := range h.upkeep.Tasks() {
		group.Go(func() error {
			task.Run(taking)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if cause := context.Cause(taking); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// end breaks the hold; what is in flight is still recorded.
func (h *holding) end(err error) {
	select {
	case h.broken <- err:
	default:
	}
}

func (h *holding) ack(p source.Position) {
	h.stream.Ack(p)
	if h.reader == nil {
		h.barriers.Settled(p)
	}
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	h.r.status.Settled, h.r.acked = outbox.LSN(p), p
}

// held says whether the server may still be believed to keep the slot for this relay: after a stop
// of this process (SIGSTOP, a suspended machine) nothing must be sent on the strength of what was
// true before.
func (h *holding) held() bool { return h.stream.Held() && h.ledger.Connected() }

// committed notes what was recorded.
func (h *holding) committed(recorded dispatch.Recorded) {
	h.upkeep.Committed(recorded.Batch)
	h.r.counted(recorded)
}

// counted counts what was recorded, for the metrics.
func (r *Relay) counted(recorded dispatch.Recorded) {
	if m := r.metrics; m != nil {
		m.Committed(telemetry.Recorded(recorded))
	}
}

// release notes that the slot is no longer held.
func (r *Relay) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holding = nil
}
