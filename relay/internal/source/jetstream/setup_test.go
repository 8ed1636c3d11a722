package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

const (
	patience = 30 * time.Second
	poll     = 10 * time.Millisecond
)

// node is a server of NATS that can be stopped and started again with its store and its address.
type node struct {
	t    testing.TB
	opts server.Options
	*server.Server
}

func newNode(tb testing.TB, change func(*server.Options)) *node {
	tb.Helper()
	n := &node{t: tb, opts: server.Options{
		Host: "127.0.0.1", Port: freePort(tb), JetStream: true, StoreDir: tb.TempDir(), NoLog: true, NoSigs: true,
	}}
	if change != nil {
		change(&n.opts)
	}
	n.start()
	tb.Cleanup(n.stop)
	return n
}

func (n *node) start() {
	n.t.Helper()
	o := n.opts
	s, err := server.NewServer(&o)
	require.NoError(n.t, err)
	n.Server = s
	go s.Start()
	require.True(n.t, s.ReadyForConnections(patience), "the server does not start")
}

func (n *node) stop() {
	n.Shutdown()
	n.WaitForShutdown()
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer func() { require.NoError(tb, l.Close()) }()
	addr, ok := l.Addr().(*net.TCPAddr)
	require.True(tb, ok)
	return addr.Port
}

// newCluster starts three servers.
func newCluster(t *testing.T) []*node {
	t.Helper()
	var routes []*url.URL
	var ports []int
	for range 3 {
		ports = append(ports, freePort(t))
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[len(ports)-1])})
	}
	var nodes []*node
	for i, port := range ports {
		nodes = append(nodes, newNode(t, func(o *server.Options) {
			o.ServerName = fmt.Sprintf("n%d", i)
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}
			o.Routes = routes
		}))
	}
	require.Eventually(t, func() bool {
		for _, n := range nodes {
			if !n.JetStreamIsCurrent() {
				return false
			}
		}
		return true
	}, patience, poll, "the cluster does not form")
	return nodes
}

// proxy passes connections on until it is cut.
type proxy struct {
	net.Listener

	to    string
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
	group sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, to: to}
	p.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(c)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.set(true)
		p.group.Wait()
	})
	return p
}

func (p *proxy) serve(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.to)
	if p.cut || err != nil {
		_ = c.Close()
		if err == nil {
			_ = peer.Close()
		}
		return
	}
	p.conns = append(p.conns, c, peer)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.Close()
		_ = from.Close()
	}
	p.group.Go(func() { pass(c, peer) })
	p.group.Go(func() { pass(peer, c) })
}

// set cuts all connections, now and as long as cut is set.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.conns = nil
	}
}

// options are those of a slot on a server.
func options(addr string) jetstream.Options {
	return jetstream.Options{URL: config.NewSecret("nats://" + addr), Slot: "s", Partitions: 2, Replicas: 1, Logger: zerolog.Nop()}
}

func open(tb testing.TB, o jetstream.Options) *jetstream.Fanout {
	tb.Helper()
	var f *jetstream.Fanout
	require.Eventually(tb, func() (opened bool) {
		var err error
		if f, err = jetstream.Open(tb.Context(), o); err != nil {
			tb.Log(err)
		}
		return err == nil
	}, patience, poll)
	tb.Cleanup(f.Close)
	return f
}

// running is something that runs until it is stopped.
type running struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

func run(tb testing.TB, f func(context.Context) error) *running {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	r := &running{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = f(ctx)
	}()
	tb.Cleanup(func() { r.stop(tb) })
	return r
}

func (r *running) stop(tb testing.TB) {
	tb.Helper()
	r.cancel()
	r.wait(tb)
}

func (r *running) wait(tb testing.TB) {
	tb.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		tb.Error("it does not end")
	}
}

// taker is a Handler that notes the calls.
type taker struct {
	mu    sync.Mutex
	calls []string
	evs   []outbox.Event
	room  chan struct{} // nil: there is room
	end   source.Position
	in    bool
	wrong error
}

func (k *taker) note(within bool, format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.in != within && k.wrong == nil {
		k.wrong = fmt.Errorf("within a transaction: %t, at "+format, append([]any{k.in}, args...)...)
	}
	k.calls = append(k.calls, fmt.Sprintf(format, args...))
}

func (k *taker) Begin(tx source.Tx) {
	k.note(false, "begin %d", tx.Commit)
	k.in = true
}

func (k *taker) Event(ev outbox.Event) {
	k.note(true, "event %d.%d", ev.CommitLSN, ev.Seq)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.evs = append(k.evs, ev)
}

func (k *taker) Invalid(ev outbox.Event, problem error) {
	k.note(true, "invalid %d.%d %v", ev.CommitLSN, ev.Seq, problem)
}

func (k *taker) Endpoint(row source.Row) {
	var values []string
	for i, name := range row.Table.Names() {
		values = append(values, name+"="+string(row.Values[i].Data))
	}
	k.note(true, "row %d %s %s", row.Place, row.Table.Name, strings.Join(values, " "))
}
func (k *taker) Due(endpoint string) { k.note(true, "due %s", endpoint) }
func (k *taker) Commit(tx source.Tx) {
	k.note(true, "commit %d-%d", tx.Commit, tx.End)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.in, k.end = false, max(k.end, tx.End)
}

func (k *taker) Keepalive(p source.Position) {
	k.note(false, "keepalive %d", p)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end = max(k.end, p)
}

func (k *taker) Ready() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.room == nil {
		return nil
	}
	return k.room
}

// full lets nothing in until the returned function is called.
func (k *taker) full() (admit func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	room := make(chan struct{})
	k.room = room
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.room = nil
		close(room)
	}
}

// all returns the calls so far, without keepalives.
func (k *taker) all() (calls []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.calls {
		if len(c) < 9 || c[:9] != "keepalive" {
			calls = append(calls, c)
		}
	}
	return calls
}

func (k *taker) reached() source.Position {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.end
}

// await waits until the handler has reached a position.
func (k *taker) await(t *testing.T, p source.Position) {
	t.Helper()
	require.Eventually(t, func() bool { return k.reached() >= p }, patience, poll, "position %d is not reached", p)
	k.mu.Lock()
	defer k.mu.Unlock()
	require.NoError(t, k.wrong)
}

// reader is who publishes: a hold of the slot.
type reader struct {
	*jetstream.Publisher
	*running

	mu     sync.Mutex
	stored map[string]int
}

func newReader(t *testing.T, f *jetstream.Fanout, epoch int64) *reader {
	t.Helper()
	return newReaderOf(t, f, jetstream.PublisherOptions{By: byOf(epoch, 1)})
}

func newReaderOf(t *testing.T, f *jetstream.Fanout, o jetstream.PublisherOptions) *reader {
	t.Helper()
	r := &reader{Publisher: f.NewPublisher(o), stored: make(map[string]int)}
	r.running = run(t, r.Run)
	return r
}

// newSmallReader returns the first reader, whose room is full with the first byte.
func newSmallReader(t *testing.T, f *jetstream.Fanout) *reader {
	t.Helper()
	return newReaderOf(t, f, jetstream.PublisherOptions{By: byOf(1, 1), Room: 1})
}

// flush waits until everything is stored that was published; of a small reader.
func (r *reader) flush() {
	for room := r.Full(); room != nil; room = r.Full() {
		<-room
	}
}

func (r *reader) note(what string) func() {
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stored[what]++
	}
}

func (r *reader) has(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stored[what] > 0
}

// await waits until something was stored, as the note has it.
func (r *reader) await(t *testing.T, what string) {
	t.Helper()
	require.Eventually(t, func() bool { return r.has(what) }, patience, poll, "%s is not stored", what)
}

// The transaction n commits at 10 n and ends at 10 n + 5.
func txOf(n int) source.Tx {
	return source.Tx{Commit: source.Position(10 * n), End: endOf(n), At: time.Unix(int64(n), 0).UTC()}
}

func endOf(n int) source.Position { return source.Position(10*n + 5) }

func beginOf(n int) source.Tx {
	tx := txOf(n)
	tx.End = 0
	return tx
}

func eventOf(n, seq int) *outbox.Event {
	return &outbox.Event{
		ID: fmt.Sprintf("e%d.%d", n, seq), Type: "a.b", Payload: []byte(`{"n":1}`), CreatedAt: time.Unix(1, 2).UTC(),
		CommitLSN: outbox.LSN(10 * n), Seq: int64(seq),
	}
}

// part publishes events of transaction n to partition 0.
func (r *reader) part(n, from, to int) {
	for seq := from; seq < to; seq++ {
		r.Event(0, eventOf(n, seq), r.note(fmt.Sprintf("event %d.%d", n, seq)))
	}
}

// transaction publishes transaction n with events to partition 0.
func (r *reader) transaction(n, events int) {
	r.Begin(beginOf(n))
	r.part(n, 0, events)
	r.Commit(txOf(n), r.note(fmt.Sprintf("commit %d", n)))
}

// expected are the calls that transactions with so many events make.
func expected(from, to, events int) (calls []string) {
	for n := from; n < to; n++ {
		calls = append(calls, fmt.Sprintf("begin %d", 10*n))
		for seq := range events {
			calls = append(calls, fmt.Sprintf("event %d.%d", 10*n, seq))
		}
		calls = append(calls, fmt.Sprintf("commit %d-%d", 10*n, 10*n+5))
	}
	return calls
}

// sender reads partition 0, or another one.
type sender struct {
	*jetstream.Source
	*running
	*taker
}

func newSender(t *testing.T, f *jetstream.Fanout, settled source.Position) *sender {
	t.Helper()
	return newSenderOf(t, f, sourceOptions(settled, 1))
}

func newSenderOf(t *testing.T, f *jetstream.Fanout, o jetstream.SourceOptions) *sender {
	t.Helper()
	s := &sender{Source: f.NewSource(o), taker: &taker{}}
	s.running = run(t, func(ctx context.Context) error { return s.Run(ctx, s.taker) })
	return s
}

// admin looks at the streams from outside.
func admin(t *testing.T, addr string) natsjs.JetStream {
	t.Helper()
	nc, err := nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	return js
}

const stream0 = "TAILPOST_s_2_00"

func state(t *testing.T, js natsjs.JetStream) natsjs.StreamState {
	t.Helper()
	var st natsjs.StreamState
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream0)
		if err != nil {
			return errors.Is(err, natsjs.ErrStreamNotFound)
		}
		st = s.CachedInfo().State
		return true
	}, patience, poll)
	return st
}

func sourceOptions(settled source.Position, timeline int32) jetstream.SourceOptions {
	return jetstream.SourceOptions{Settled: settled, Origin: "sys", Timeline: timeline}
}

func byOf(epoch int64, timeline int32) jetstream.By {
	return jetstream.By{Origin: "sys", Timeline: timeline, Epoch: epoch}
}

var endpointTable = &source.Table{Name: "endpoint", Columns: []outbox.Column{{Name: "id"}}}

func rowOf(place int64) source.Row {
	return source.Row{Table: endpointTable, Values: []outbox.Value{{Kind: outbox.TextValue, Data: []byte("ep")}}, Place: place}
}
