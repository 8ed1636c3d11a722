package fleet

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/lease"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// Settings are what partitions deliver by. They are immutable: a reload makes others.
type Settings struct {
	Config    *config.Config
	Endpoints func() []dispatch.Endpoint // of the configuration, without their state
	Tenants   *webhook.Client            // what requests to endpoints of the API go out by
	Keys      *seal.Keyring
	Roots     *x509.CertPool // nil: the system's
	Is        any            // tells them from others
}

// Trace begins the spans of an attempt, see dispatch.Options.
type Trace = func(e *outbox.Event, endpoint string, number int, trigger outbox.Trigger, at time.Time) dispatch.Trace

// Options are what a Fleet needs of its relay. The functions may be called from any goroutine.
type Options struct {
	Settings func() Settings
	// OpenLedger connects a ledger. lost is told of each loss of a connection.
	OpenLedger func(ctx context.Context, lost func(error)) (*ledger.Ledger, error)
	// Queued adds to endpoints what the table has for them.
	Queued    func(ctx context.Context, led *ledger.Ledger, endpoints []dispatch.Endpoint, now time.Time) error
	Committed func(dispatch.Recorded)
	// Trace returns what begins the spans of an attempt; nil: nothing is traced.
	Trace  func() Trace
	Owner  string
	Grace  time.Duration
	Logger zerolog.Logger
}

// Fleet is a relay's part in one. A nil Fleet is that of a relay which delivers what it reads: its
// methods do nothing.
type Fleet struct {
	opts   Options
	log    zerolog.Logger
	fanned chan struct{} // closed once fan is set

	alone bool // NATS is away for too long. Of the goroutine that holds the slot.

	mu      sync.Mutex
	fan     *jetstream.Fanout // nil: NATS was not reached yet
	senders *senders          // nil: as fan
	away    time.Time         // since when NATS took nothing when the relay went on alone
}

// New returns the Fleet of a configuration; nil: it has no fan-out.
func New(cfg *config.Fanout, o Options) *Fleet {
	if !cfg.Enabled() {
		return nil
	}
	return &Fleet{opts: o, log: o.Logger, fanned: make(chan struct{})}
}

func (f *Fleet) config() *config.Config { return f.opts.Settings().Config }

// Run connects to NATS, however long that takes, and sends a share of the partitions until ctx is
// done. What is in flight then may end until hard is. What the slot's holder does is read by led,
// the relay's own. An error says what is to be mended.
func (f *Fleet) Run(ctx, hard context.Context, led *ledger.Ledger) error {
	fan, err := f.open(ctx)
	if fan == nil {
		return err
	}
	s := &senders{fleet: f, fan: fan, ledger: led, hard: hard, log: f.log, holds: make(map[int]*partition)}
	f.mu.Lock()
	f.fan, f.senders = fan, s
	f.mu.Unlock()
	close(f.fanned)
	return s.run(ctx)
}

// Close ends the connection. Run and every Reader must have ended.
func (f *Fleet) Close() {
	if fan := f.reached(); fan != nil {
		fan.Close()
	}
}

// reached returns the connection; nil: NATS was not reached yet.
func (f *Fleet) reached() *jetstream.Fanout {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fan
}

// open connects, and waits for NATS while it is not there yet. nil without an error: ctx was done
// first.
func (f *Fleet) open(ctx context.Context) (*jetstream.Fanout, error) {
	set := f.opts.Settings()
	cfg := set.Config
	roots, err := cfg.Fanout.Roots(set.Roots)
	if err != nil {
		return nil, err
	}
	var backoff pace.Backoff
	for {
		fan, err := jetstream.Open(ctx, jetstream.OptionsOf(cfg, roots, f.log))
		switch {
		case err == nil:
			return fan, nil
		case ctx.Err() != nil:
			return nil, nil //nolint:nilerr,nilnil // Stopped before there was anything to publish to: nothing failed.
		case errors.Is(err, jetstream.ErrSetup):
			return nil, err
		}
		pause := backoff.Next()
		f.log.Warn().Err(err).Dur("pause", pause).Msg("NATS not reached, trying again: until then the slot keeps what is committed")
		_ = pace.Wait(ctx, pause) // the loop looks at ctx
	}
}

// The reasons for which a hold of the slot is ended to go on in another way.
var (
	errAlone    = errors.New("NATS takes nothing")
	errTogether = errors.New("NATS is back")
	// errNotReached keeps a relay alone that has not had a connection yet.
	errNotReached = errors.New("NATS was not reached yet")
)

// GoesOn reports whether a hold of the slot was ended with err to go on in another way at once. It
// belongs to the goroutine that holds the slot, like Await and Partitions.
func (f *Fleet) GoesOn(err error) bool {
	switch {
	case errors.Is(err, errAlone):
		f.alone = true
	case errors.Is(err, errTogether):
		f.alone = false
	default:
		return false
	}
	return true
}

// Members counts the processes that send. Ledger is one.
type Members interface {
	// Senders returns how many sessions hold an advisory lock that they share, see lease.Members.
	Senders(ctx context.Context, key int32) (int, error)
}

// Await waits before the slot is taken: for NATS, but not for ever, and for as long as it is
// reached by other processes and not by this one. Its error is the cause of ctx's end, or that of
// all.
func (f *Fleet) Await(ctx context.Context, all Members) error {
	if f == nil || f.alone {
		return nil
	}
	hold, heals := f.config().Fanout.Hold, canHeal(f.config())
	var late <-chan time.Time
	if heals {
		timer := time.NewTimer(hold)
		defer timer.Stop()
		late = timer.C
	}
	for connected := false; !connected; {
		select {
		case <-f.fanned:
			connected = true
		case <-late:
			others, err := f.others(ctx, all)
			if err != nil {
				return err
			}
			if !others {
				f.goAlone(hold)
				f.alone = true
				return nil
			}
			late = time.After(poll)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := f.awaitTurn(ctx, all); err != nil {
		return err
	}
	// The holder before may have waited as long as this process has: once is enough.
	if heals && tooLong(f.reached().Cut(), hold) {
		f.goAlone(hold)
		f.alone = true
	}
	return nil
}

// awaitTurn waits while others had better have the slot.
func (f *Fleet) awaitTurn(ctx context.Context, all Members) error {
	for {
		yields, err := f.yields(ctx, all)
		if err != nil || !yields {
			return err
		}
		if pace.Wait(ctx, poll) != nil {
			return context.Cause(ctx)
		}
	}
}

// yieldAfter is after how long without NATS a process leaves the slot to others. Where all have
// lost NATS they have left the fleet by then, see cutOff.
const yieldAfter = cutOff + 5*time.Second

// errYields ends a hold of the slot that others had better have.
var errYields = errors.New("NATS is not reached from here, and is by others: the slot is theirs")

// yields reports whether this process, which has reached NATS, has been cut off from it for long
// while others reach it.
func (f *Fleet) yields(ctx context.Context, all Members) (bool, error) {
	if !tooLong(f.reached().Cut(), yieldAfter) {
		return false, nil
	}
	return f.others(ctx, all)
}

// others reports whether other processes send: those that do not reach NATS leave the fleet.
func (f *Fleet) others(ctx context.Context, all Members) (bool, error) {
	n, err := all.Senders(ctx, lease.Members(f.config().Database.Slot))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.senders != nil && f.senders.member.Load() {
		n--
	}
	return n > 0, err
}

// tooLong reports whether something has been so for longer than that; since zero: it is not so.
func tooLong(since time.Time, most time.Duration) bool {
	return !since.IsZero() && time.Since(since) > most
}

func (f *Fleet) goAlone(after time.Duration) {
	f.mu.Lock()
	f.away = time.Now().Add(-after)
	f.mu.Unlock()
	f.log.Error().Dur("hold", after).Msg("NATS takes nothing for too long: this relay delivers alone what it reads, until NATS is back")
}

// Away returns since when NATS has taken nothing, of a relay that delivers alone; zero: there is no
// fan-out.
func (f *Fleet) Away() time.Time {
	if f == nil {
		return time.Time{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away
}

// canHeal reports whether what is left in streams that cannot be read can be looked for elsewhere.
func canHeal(cfg *config.Config) bool {
	return !cfg.Outbox.Mapping.IsZero() && cfg.Outbox.AuditInterval > 0
}

// Partitions returns to how many the next hold of the slot publishes; 0: it delivers itself.
func (f *Fleet) Partitions() int {
	if f == nil || f.alone {
		return 0
	}
	return f.config().Fanout.Partitions
}

const (
	// poll is how often it is looked whether NATS takes what is published.
	poll = time.Second
	// soundFor is how long it has to be well before a relay that delivers alone relies on it.
	soundFor = 5 * time.Second
)

// WatchOptions are the hold of the slot that is watched.
type WatchOptions struct {
	Hold     ledger.Hold
	Timeline int32 // that the slot is on
	Members  Members
	Reader   *Reader     // nil: it delivers alone
	End      func(error) // ends it to go on in another way
}

// Watch ends a hold of the slot that has to go on alone, or need not any more. It runs until then,
// or until ctx is done.
func (f *Fleet) Watch(ctx context.Context, o WatchOptions) {
	if f == nil {
		return
	}
	cfg := f.config()
	often := f.log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	var well health
	for pace.Wait(ctx, poll) == nil {
		if o.Reader != nil {
			if yields, err := f.yields(ctx, o.Members); yields && err == nil {
				o.End(errYields)
				return
			}
			if tooLong(o.Reader.Stuck(), cfg.Fanout.Hold) && canHeal(cfg) {
				f.goAlone(cfg.Fanout.Hold)
				o.End(errAlone)
				return
			}
			continue
		}
		err := f.check(ctx, by(&o.Hold, o.Timeline))
		if err != nil {
			often.Warn().Err(err).Msg("this relay goes on alone")
		}
		if well.enough(err, time.Now()) {
			o.End(errTogether)
			return
		}
	}
}

// health is since when every stream is well; zero: they are not.
type health struct{ since time.Time }

// enough takes what a look at the streams found, and reports whether they have been well for so
// long that they can be relied on.
func (h *health) enough(err error, now time.Time) bool {
	switch {
	case err != nil:
		h.since = time.Time{}
	case h.since.IsZero():
		h.since = now
	}
	return err == nil && now.Sub(h.since) > soundFor
}

// check is an error where a hold of the slot could not publish.
func (f *Fleet) check(ctx context.Context, by jetstream.By) error {
	fan := f.reached()
	if fan == nil {
		return errNotReached
	}
	return fan.Check(ctx, by)
}

func by(hold *ledger.Hold, timeline int32) jetstream.By {
	return jetstream.By{Origin: hold.Origin, Timeline: timeline, Epoch: hold.Epoch}
}

// Reload has the partitions go on with other settings; anew says that all that they have in memory
// is concerned.
func (f *Fleet) Reload(ctx context.Context, next Settings, anew bool) {
	for _, p := range f.sending() {
		p.reload(ctx, next, anew)
	}
}

// Dispatchers returns those of the partitions that this relay sends.
func (f *Fleet) Dispatchers() (all []*dispatch.Dispatcher) {
	for _, p := range f.sending() {
		if d := p.delivering(); d != nil {
			all = append(all, d)
		}
	}
	return all
}

// sending returns the partitions of now, by their numbers.
func (f *Fleet) sending() map[int]*partition {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	s := f.senders
	f.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.all()
}
