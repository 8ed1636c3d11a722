package fleet

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

const patience = 30 * time.Second

// newServer is a NATS server of the test's own.
func newServer(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.StoreDir, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, t.TempDir(), true, true
	s, err := server.NewServer(&o)
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience))
	return s
}

// newFanout is a fleet of two partitions that reaches a NATS server.
func newFanout(t *testing.T) (f *Fleet, at *server.Server) {
	t.Helper()
	s := newServer(t, server.Options{JetStream: true})
	cfg := &config.Config{Database: config.Database{Slot: "s"}, Fanout: config.Fanout{Engine: config.EngineNATS, Partitions: 2, URL: config.NewSecret(s.ClientURL())}}
	f = New(&cfg.Fanout, Options{Settings: func() Settings { return Settings{Config: cfg} }, Logger: zerolog.Nop()})
	fan, err := f.open(t.Context())
	require.NoError(t, err)
	t.Cleanup(fan.Close)
	f.fan = fan
	return f, s
}

// publishing has a reader publish until stop.
func publishing(t *testing.T, r *Reader) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.to.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

// An event for endpoints of two partitions is off the reader's hands once both have stored it: the
// slot is told so then, and what one of them lacks would come from nowhere.
func TestEvent_isStoredOnceAllPartitionsHaveIt(t *testing.T) {
	t.Parallel()
	f, at := newFanout(t)
	closeStream(t, at.ClientURL(), "TAILPOST_s_2_01")
	r := f.NewReader(ReaderOptions{
		Timeline: 1, Barriers: source.NewBarriers(1, func(context.Context, string) error { return nil }),
	})
	publishing(t, r)
	stored := make(chan string, 10)
	publish := func(id string, at source.Position, endpoints ...string) {
		tx := source.Tx{Commit: at, At: time.Now()}
		r.Within().Begin(tx)
		r.Event(&outbox.Event{ID: id, Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(at)}, endpoints, func() { stored <- id })
		tx.End = at + 5
		r.Within().Commit(tx, nil)
	}
	first, second := endpointOf(0), endpointOf(1)
	publish("both", 10, first, second)
	publish("one", 20, first)
	var got string
	require.Eventually(t, func() bool {
		select {
		case got = <-stored:
			return true
		default:
			return false
		}
	}, patience, time.Millisecond)
	require.Equal(t, "one", got, "the second partition takes nothing")
	require.Empty(t, stored)
}

// brought is what a partition's stream brings, as lines.
type brought struct {
	mu      sync.Mutex
	lines   []string
	awaited []source.Position
	end     chan error // gets what Run returns
}

func (b *brought) line(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf(format, args...))
}

func (b *brought) Begin(tx source.Tx)                 { b.line("begin %d", tx.Commit) }
func (b *brought) Event(ev outbox.Event)              { b.line("event %s", ev.ID) }
func (b *brought) Invalid(ev outbox.Event, err error) { b.line("invalid %s: %v", ev.ID, err) }
func (b *brought) Endpoint(row source.Row)            { b.line("row %d", row.Place) }
func (b *brought) Due(endpoint string)                { b.line("due %s", endpoint) }
func (b *brought) Commit(tx source.Tx)                { b.line("commit %d", tx.End) }
func (*brought) Keepalive(source.Position)            {}
func (*brought) Ready() <-chan struct{}               { return nil }

func (b *brought) last() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == 0 {
		return ""
	}
	return b.lines[len(b.lines)-1]
}

// bring reads a partition as a sender does whose routing has a number.
func bring(t *testing.T, f *Fleet, partition int, routing int64) *brought {
	t.Helper()
	b := &brought{end: make(chan error, 1)}
	s := f.reached().NewSource(jetstream.SourceOptions{
		// It has settled more on the timeline before: what is of a later one is not skipped by it.
		Partition: partition, Settled: 1000, Origin: "here", Timeline: 2, Routing: func() int64 { return routing }, Logger: zerolog.Nop(),
		Awaited: func(at source.Position) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.awaited = append(b.awaited, at)
		},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.end <- s.Run(t.Context(), b)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return b
}

// What a hold of the slot reads comes to the partitions that it is for, transaction by transaction;
// the others hear of one at once only where somebody waits for them, or has not heard for long.
func TestAReaderPublishesWhatItsHoldReads(t *testing.T) {
	t.Parallel()
	f, _ := newFanout(t)
	barriers := source.NewBarriers(1, func(context.Context, string) error { return nil })
	hold := ReaderOptions{Hold: ledger.Hold{Origin: "here", Epoch: 1}, Timeline: 3, Routing: 4, Barriers: barriers}
	parts := []*brought{bring(t, f, 0, 4), bring(t, f, 1, 4)}
	behind := bring(t, f, 0, 3)
	var stored atomic.Int64
	kept := func() { stored.Add(1) }
	await := func(partition int, line string) {
		t.Helper()
		require.Eventually(t, func() bool { return parts[partition].last() == line }, soon, time.Millisecond, line)
	}
	r := f.NewReader(hold)
	in, stop := r.Within(), publishing(t, r)
	begin := func(at source.Position) source.Tx {
		in.Begin(source.Tx{Commit: at, At: time.Now()})
		require.False(t, in.Touched(), "nothing of it is anybody's yet")
		return source.Tx{Commit: at, End: at + 5}
	}
	tx := begin(10)
	r.Event(&outbox.Event{ID: "a", Type: "t", Payload: []byte("{}"), CommitLSN: 10}, []string{endpointOf(0)}, kept)
	require.True(t, in.Touched())
	in.Commit(tx, nil)
	tx = begin(20)
	in.Due(endpointOf(1), nil)
	require.True(t, in.Touched())
	in.Commit(tx, nil)
	await(1, "commit 25")
	tx = begin(30)
	in.Row(endpointOf(0), source.Row{Table: &source.Table{}, Place: 7}, nil)
	require.True(t, in.Touched())
	in.Flush()
	await(0, "row 7")
	in.Commit(tx, nil)
	await(0, "commit 35")
	require.ErrorIs(t, <-behind.end, jetstream.ErrRouting, "one that may lack an endpoint takes none of it")
	stop()

	// Its successor goes on, and tells everybody at once of a barrier, and once.
	hold.Hold.Epoch = 2
	r = f.NewReader(hold)
	in = r.Within()
	publishing(t, r)
	in.Keepalive(35)
	tx = begin(40)
	r.Event(&outbox.Event{ID: "b", Type: "t", Payload: []byte("{}"), CommitLSN: 40}, []string{endpointOf(0), endpointOf(1)}, kept)
	in.Commit(tx, nil)
	await(0, "commit 45")
	sees(t, barriers, 50)
	in.Keepalive(50)
	in.Keepalive(60)
	tx = begin(70)
	in.Due(endpointOf(0), nil)
	in.Due(endpointOf(1), nil)
	in.Commit(tx, nil)
	for n, want := range [][]string{
		{"begin 10", "event a", "commit 15", "begin 30", "row 7", "commit 35", "begin 40", "event b", "commit 45", "begin 70", "due " + endpointOf(0), "commit 75"},
		{"begin 20", "due " + endpointOf(1), "commit 25", "begin 40", "event b", "commit 45", "begin 70", "due " + endpointOf(1), "commit 75"},
	} {
		await(n, "commit 75")
		require.Equal(t, want, parts[n].lines)
		require.Equal(t, []source.Position{15, 45, 50}, parts[n].awaited)
	}
	require.Eventually(t, func() bool { return stored.Load() == 2 }, soon, time.Millisecond, "each event once")
}

// soon bounds the wait for what is published at once.
const soon = 10 * time.Second

// sees has somebody wait for a barrier that the source has brought.
func sees(t *testing.T, barriers *source.Barriers, end source.Position) {
	t.Helper()
	go func() { _, _ = barriers.Wait(t.Context()) }()
	require.Eventually(t, func() bool {
		barriers.Seen("1/1", end)
		return barriers.Awaited() == end
	}, soon, time.Millisecond)
}

// A hold that delivers itself has no Reader, and one that publishes is told what is due before it
// runs.
func TestAReaderThatIsNoneOrDoesNotRunYet(t *testing.T) {
	t.Parallel()
	var none *Reader
	none.Route(1)
	require.Zero(t, none.Stuck())
	f, _ := newFanout(t)
	r := f.NewReader(ReaderOptions{})
	r.Due("")
	require.Empty(t, r.stirred, "no endpoint in particular is no sender's")
	r.Due("ep")
	r.Due("ep")
	require.Len(t, r.stirred, 1)
	require.Equal(t, map[string]struct{}{"ep": {}}, r.due)
}

// endpointOf returns an endpoint of a partition of two.
func endpointOf(partition int) string {
	for n := 0; ; n++ {
		if id := fmt.Sprint("ep", n); jetstream.PartitionOf(id, 2) == partition {
			return id
		}
	}
}

// closeStream has a stream take nothing more.
func closeStream(t *testing.T, url, stream string) {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	defer conn.Close()
	to, err := js.New(conn)
	require.NoError(t, err)
	found, err := to.Stream(t.Context(), stream)
	require.NoError(t, err)
	sealed := found.CachedInfo().Config
	sealed.Sealed = true
	_, err = to.UpdateStream(t.Context(), sealed)
	require.NoError(t, err)
}

// While no transaction comes, partitions have nothing to write down: how far everything is is told
// with the last one, and not every half minute after it.
func TestAnIdleFleetIsToldOnce(t *testing.T) {
	t.Parallel()
	f, _ := newFanout(t)
	r := f.NewReader(ReaderOptions{Timeline: 1, Barriers: source.NewBarriers(1, func(context.Context, string) error { return nil })})
	tx := source.Tx{Commit: 10, End: 15, At: time.Now()}
	r.Within().Begin(tx)
	r.Within().Commit(tx, nil)
	for _, at := range []source.Position{20, 30} {
		r.toldAt = r.toldAt.Add(-2 * recordEvery)
		r.keepalive(at)
	}
	require.Equal(t, tx.End, r.told)
}
