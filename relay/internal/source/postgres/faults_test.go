package postgres_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// proxy stands between a stream and its server: it can speak TLS to the stream, fall silent, and
// cut the line.
type proxy struct {
	url    string
	mu     sync.Mutex
	silent chan struct{} // not nil: what the server sends stays here until it is closed
	refuse int           // which connection is closed at once; 0: none
	conns  []net.Conn
}

// newProxy starts one in front of the server at address. certificate nil: no TLS.
func newProxy(t *testing.T, address string, certificate *tls.Certificate) *proxy {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	server := u.Host
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = listener.Addr().String()
	if certificate != nil {
		u.RawQuery = "sslmode=require"
	}
	p := &proxy{url: u.String()}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 1; ; n++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			refused := n == p.refuse
			p.mu.Unlock()
			if refused {
				_ = client.Close()
				continue
			}
			all.Go(func() { p.serve(t.Context(), client, server, certificate) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		p.speak()
		p.cut()
		all.Wait()
	})
	return p
}

func (p *proxy) serve(ctx context.Context, client net.Conn, address string, certificate *tls.Certificate) {
	defer func() { _ = client.Close() }()
	if certificate != nil {
		request := make([]byte, 8) // SSLRequest
		if _, err := io.ReadFull(client, request); err != nil {
			return
		}
		if _, err := client.Write([]byte("S")); err != nil {
			return
		}
		client = tls.Server(client, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12})
	}
	var d net.Dialer
	server, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	// What the server says is taken from it at once, also while we are silent.
	said := make(chan []byte, 10_000)
	up.Go(func() {
		defer close(said)
		for {
			buf := make([]byte, 8192)
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			said <- buf[:n]
		}
	})
	for words := range said {
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent != nil {
			<-silent
		}
		_, _ = client.Write(words)
	}
	up.Wait()
	// Closing with something unread would reset the line, and what is still on its way with it.
	if half, ok := client.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, client)
}

func (p *proxy) fallSilent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = make(chan struct{})
}

func (p *proxy) speak() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent != nil {
		close(p.silent)
		p.silent = nil
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func certificate(t *testing.T) *tls.Certificate {
	t.Helper()
	cert, key := kit.Certificate(t)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(t, err)
	return &pair
}

func TestTLS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.options()
	o.URL = newProxy(t, b.url, certificate(t)).url
	o.StatusInterval = 5 * time.Millisecond // so that deadlines pass within records too
	s := b.open(t, o)
	h := newRecorder()
	h.onEnd = s.Ack
	r := run(t, s, h)
	for i := range 20 {
		b.exec(t, `INSERT INTO outbox SELECT $1 * 1000 + i, 'order.created', repeat('x', 1000) FROM generate_series(1, 1000) AS i`, i)
	}
	h.await(t, 20*1002)
	require.Len(t, only(h.await(t, 0), "I"), 20_000)
	written := b.lsn(t, `SELECT pg_current_wal_lsn()::text`)
	b.awaitSQL(t, `SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, b.slot, written.String())
	r.stopped(t)
	b.awaitSQL(t, `SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
}

func TestLineIsCut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := newProxy(t, b.url, nil)
	o := b.options()
	o.URL = p.url
	h := newRecorder()
	r := run(t, b.open(t, o), h)
	b.insert(t, 1)
	h.await(t, 3)
	p.cut()
	require.ErrorIs(t, r.end(t), postgres.ErrConnection)
}

func TestServerFallsSilent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := newProxy(t, b.url, nil)
	o := b.options()
	o.URL, o.StatusInterval, o.ReplyTimeout = p.url, 50*time.Millisecond, 500*time.Millisecond
	s := b.open(t, o)
	h := newRecorder()
	r := run(t, s, h)
	b.insert(t, 1)
	h.await(t, 3)
	p.fallSilent()
	silent := time.Now()
	require.ErrorIs(t, r.end(t), postgres.ErrConnection)
	require.Greater(t, time.Since(silent), o.ReplyTimeout)
	require.Less(t, s.LastContact().Sub(silent), o.StatusInterval)
}

// TestStaleWordsAreNoContact: what is read after the server has gone, it sent before.
func TestStaleWordsAreNoContact(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := newProxy(t, b.url, nil)
	o := b.options()
	o.URL, o.StatusInterval = p.url, 50*time.Millisecond
	s := b.open(t, o)
	h := newRecorder()
	run(t, s, h)
	b.insert(t, 1)
	h.await(t, 3)
	p.fallSilent()
	b.insert(t, 2)
	timer := time.NewTimer(time.Second)
	<-timer.C
	gone := time.Now()
	p.cutServer()
	timer.Reset(500 * time.Millisecond)
	<-timer.C
	p.speak()
	h.await(t, 6)
	require.LessOrEqual(t, s.LastContact().Sub(gone), o.StatusInterval, "nobody heard what was asked after the server had gone")
}

// cutServer has the servers' ends closed, so that only what they have sent is still to come.
func (p *proxy) cutServer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.conns {
		if i%2 == 1 {
			_ = c.Close()
		}
	}
}

// heapWatcher counts rows and looks at the heap now and then.
type heapWatcher struct {
	rows    int
	highest uint64
	done    chan struct{}
}

func (h *heapWatcher) Begin(postgres.Tx) error { return nil }

func (h *heapWatcher) Change(postgres.Op, *source.Table, []outbox.Value) error {
	h.rows++
	if h.rows%10_000 == 0 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		h.highest = max(h.highest, stats.HeapAlloc)
	}
	return nil
}

func (h *heapWatcher) Message(string, []byte) error { return nil }
func (*heapWatcher) NonTransactional(string)        {}

func (h *heapWatcher) Commit(postgres.Tx) error {
	if h.rows >= 300_000 {
		close(h.done)
	}
	return nil
}

func (h *heapWatcher) Keepalive(outbox.LSN) error { return nil }
func (h *heapWatcher) Ready() <-chan struct{}     { return nil }

func TestGiantTransactionInConstantMemory(t *testing.T) { //nolint:paralleltest // measures the whole process
	if testing.Short() {
		t.Skip("300,000 rows")
	}
	b := setup(t)
	s := b.open(t, b.options())
	b.exec(t, `INSERT INTO outbox SELECT i, 'order.created', repeat('x', 500) FROM generate_series(1, 300000) AS i`)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	h := &heapWatcher{done: make(chan struct{})}
	r := run(t, s, h)
	select {
	case <-h.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the transaction did not arrive")
	}
	r.stopped(t)
	require.Equal(t, 300_000, h.rows)
	require.Less(t, h.highest, before.HeapAlloc+(8<<20), "heap grew with the transaction")
}

// A server that has hung up is seen although nobody reads: by whoever asks, and then by the reader
// that waits for room.
func TestHeldSeesTheServerHangUp(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tell")
	}
	b := setup(t)
	s := b.open(t, b.options())
	h := newRecorder()
	defer h.hold()()
	r := run(t, s, h)
	b.awaitSQL(t, `SELECT active_pid IS NOT NULL FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
	require.True(t, s.Held())
	b.exec(t, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
	require.Eventually(t, func() bool { return !s.Held() }, patience, time.Millisecond)
	err := r.end(t)
	require.ErrorIs(t, err, postgres.ErrConnection)
	require.ErrorContains(t, err, "hung up")
}
