package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/lease"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// world is a process of a fleet of two partitions whose slot's holder is the test: it reads nothing
// and publishes what it likes.
type world struct {
	*Fleet

	db       *kit.Database
	nats     *server.Server
	led      *ledger.Ledger
	hold     ledger.Hold
	barriers *source.Barriers
	reader   *Reader
	set      atomic.Pointer[Settings]
	log      kit.Log
	acked    atomic.Uint64 // how far the slot is acknowledged
	looks    atomic.Int64  // how often the reader has asked for that

	mu       sync.Mutex
	loaded   func()          // called as endpoints are loaded; nil: nothing is
	lost     []func(error)   // of the partitions' ledgers
	requests []string        // URL and event
	held     []func() bool   // of the requests
	answers  chan struct{}   // nil: each request is answered at once, else once this is closed
	counted  int             // attempts that were recorded
	traced   map[string]bool // events with spans
}

const begin = 0x100

// newWorld has a holder publish as of begin to endpoints of both partitions, which some settings
// are changed of.
func newWorld(t *testing.T, change ...func(cfg *config.Config)) *world {
	t.Helper()
	w := &world{db: kit.NewDatabase(t), nats: newServer(t, server.Options{JetStream: true}), traced: make(map[string]bool)}
	w.configure(t, change...)
	w.Fleet = New(&w.set.Load().Config.Fanout, Options{
		Settings: func() Settings { return *w.set.Load() }, Owner: "me", Grace: soon, Logger: zerolog.New(&w.log), OpenLedger: w.openLedger,
		Queued: func(context.Context, *ledger.Ledger, []dispatch.Endpoint, time.Time) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.loaded != nil {
				w.loaded()
			}
			return nil
		},
		Committed: func(recorded dispatch.Recorded) {
			w.with(func() { w.counted += len(recorded.Attempts) })
		},
		Trace: func() Trace {
			return func(e *outbox.Event, _ string, _ int, _ outbox.Trigger, _ time.Time) dispatch.Trace {
				w.with(func() { w.traced[e.ID] = true })
				return untraced{}
			}
		},
	})
	fan, err := w.open(t.Context())
	require.NoError(t, err)
	t.Cleanup(fan.Close)
	w.fan = fan
	w.led, err = ledger.Open(t.Context(), ledger.Options{URL: config.NewSecret(w.db.URL)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.led.Close(context.WithoutCancel(t.Context()))) })
	w.hold, err = w.led.Take(t.Context(), ledger.TakeOptions{Slot: w.db.Slot, SystemID: "7", Timeline: 1, Start: begin, Now: time.Now()})
	require.NoError(t, err)
	w.barriers = source.NewBarriers(w.hold.Epoch, func(context.Context, string) error { return nil })
	w.publishes(t)
	return w
}

// configure sets what the process is configured with: two endpoints, and what change does to that.
func (w *world) configure(t *testing.T, change ...func(cfg *config.Config)) {
	t.Helper()
	cfg := &config.Config{
		Database: config.Database{URL: config.NewSecret(w.db.URL), Slot: w.db.Slot}, Outbox: config.Outbox{Mapping: outbox.DefaultMapping()},
		Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2, URL: config.NewSecret(w.nats.ClientURL())},
	}
	for _, id := range []string{endpointOf(0), endpointOf(1)} {
		cfg.Endpoints = append(cfg.Endpoints, config.Endpoint{
			ID: id, URL: "https://" + id + ".example", Subscriptions: []config.Subscription{{Events: []string{"*"}}},
			Secrets: []config.Secret{config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
		})
	}
	for _, f := range change {
		f(cfg)
	}
	cfg, err := cfg.Complete()
	require.NoError(t, err)
	set := &Settings{Config: cfg, Is: cfg, Endpoints: func() (all []dispatch.Endpoint) {
		for _, e := range cfg.Endpoints {
			all = append(all, dispatch.Endpoint{Config: e, Sender: sending{w, e.URL}})
		}
		return all
	}}
	w.set.Store(set)
}

// publishes has the slot's holder route as the process does, and publish from now on.
func (w *world) publishes(t *testing.T) {
	t.Helper()
	routing, err := w.led.Route(t.Context(), w.hold, w.config().Routing(), false)
	require.NoError(t, err)
	_, err = w.led.Publishing(t.Context(), w.hold, ledger.PublishingOptions{Partitions: w.Partitions(), Now: time.Now()})
	require.NoError(t, err)
	w.reader = w.NewReader(ReaderOptions{
		Hold: w.hold, Timeline: 1, Routing: routing, Ledger: w.led, Barriers: w.barriers, Acked: func() source.Position {
			w.looks.Add(1)
			return source.Position(w.acked.Load())
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.reader.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
}

func (w *world) openLedger(ctx context.Context, lost func(error)) (*ledger.Ledger, error) {
	w.with(func() { w.lost = append(w.lost, lost) })
	return ledger.Open(ctx, ledger.Options{URL: w.config().Database.URL, AppName: "partition", Disconnected: lost})
}

// publish publishes an event to endpoints.
func (w *world) publish(id string, at source.Position, endpoints ...string) {
	in, tx := w.reader.Within(), source.Tx{Commit: at, End: at + 8, At: time.Now()}
	in.Begin(tx)
	w.reader.Event(&outbox.Event{ID: id, Type: "t", Payload: []byte("{}"), Key: "k", CommitLSN: outbox.LSN(at)}, endpoints, func() {})
	in.Commit(tx, func() {})
}

// run has the process send its share until stop, which returns what Run does.
func (w *world) run(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- w.Run(ctx, context.WithoutCancel(ctx), w.led)
		w.Close()
	}()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { require.NoError(t, stop()) })
	return stop
}

// member joins the fleet with a lease, without a share of it yet.
func (w *world) member(t *testing.T) *lease.Lease {
	t.Helper()
	l, err := lease.Open(t.Context(), lease.Options{URL: config.NewSecret(w.db.URL), Slot: w.db.Slot, Partitions: 2, TTL: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close(context.WithoutCancel(t.Context())) })
	return l
}

// sends are the process's senders, whose turns are the test's.
func (w *world) sends(t *testing.T) *senders {
	t.Helper()
	s := &senders{fleet: w.Fleet, fan: w.fan, ledger: w.led, hard: context.WithoutCancel(t.Context()), log: w.Fleet.log, holds: make(map[int]*partition)}
	w.senders = s
	return s
}

// take has a lease's owner deliver a partition, until the returned channel has why it does no more.
func (w *world) take(t *testing.T, l *lease.Lease, number int) (p *partition, ended chan error) {
	t.Helper()
	if w.senders == nil {
		w.sends(t)
	}
	p, ended = newPartition(w.senders, l, number, 2), make(chan error, 1)
	w.senders.holds[number] = p
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		ended <- p.run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		for range ended { // why is the test's to say
		}
	})
	kit.Eventually(t, soon, func() error {
		if p.delivering() == nil {
			return errors.New("it does not deliver yet")
		}
		return nil
	})
	return p, ended
}

// comes returns what comes by a channel, or its end, soon.
func comes[T any](t *testing.T, by <-chan T) (is T) {
	t.Helper()
	select {
	case is = <-by:
	case <-time.After(soon):
		require.Fail(t, "nothing comes")
	}
	return is
}

// with runs f while no sender does anything of the test's.
func (w *world) with(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// request is one to an endpoint of a partition.
func request(partition int, event string) string {
	return "https://" + endpointOf(partition) + ".example " + event
}

// members counts the processes that send.
func (w *world) members(t *testing.T) int {
	t.Helper()
	n, err := w.led.Senders(t.Context(), lease.Members(w.db.Slot))
	require.NoError(t, err)
	return n
}

// await waits for requests, in whatever order.
func (w *world) await(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	kit.Eventually(t, soon, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := slices.Sorted(slices.Values(w.requests)); !slices.Equal(want, got) {
			return fmt.Errorf("want %q, got %q", want, got)
		}
		return nil
	})
}

// sending takes the requests to a URL.
type sending struct {
	w   *world
	url string
}

// Send implements dispatch.Sender.
func (s sending) Send(ctx context.Context, r *webhook.Request) webhook.Result {
	s.w.mu.Lock()
	s.w.requests, s.w.held = append(s.w.requests, s.url+" "+r.Event.ID), append(s.w.held, r.Held)
	answers := s.w.answers
	s.w.mu.Unlock()
	if answers != nil {
		select {
		case <-answers:
		case <-ctx.Done():
		}
	}
	return webhook.Result{Delivered: true, Attempt: outbox.Attempt{
		EventID: r.Event.ID, EventType: r.Event.Type, Number: r.Number, Trigger: r.Trigger, AttemptedAt: r.Now, CommitLSN: r.Event.CommitLSN, StatusCode: 200, URL: s.url,
	}}
}

// SendBatch implements dispatch.Sender.
func (sending) SendBatch(context.Context, *webhook.Batch) []webhook.Result {
	panic("no endpoint has batches")
}

// untraced is a trace that nobody keeps.
type untraced struct{}

func (untraced) Headers() (traceparent, tracestate string) { return "", "" }
func (untraced) End(*outbox.Attempt, outbox.Outcome)       {}
