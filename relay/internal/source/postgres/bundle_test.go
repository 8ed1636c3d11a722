package postgres_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// patience bounds every wait for something that comes by itself.
const patience = 40 * time.Second

// recorder is a Handler that keeps what it is given, as lines. Transactions with nothing in them,
// which Postgres 14 streams too, leave none.
type recorder struct {
	waits   int // how often there was no room
	mu      sync.Mutex
	lines   []string
	tx      postgres.Tx // of the last commit
	idle    outbox.LSN  // of the last keepalive
	changed chan struct{}
	room    chan struct{} // not nil: not ready until it is closed
	fail    error
	onEnd   func(outbox.LSN)
	begun   bool // the transaction has a line
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) note(line string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		r.begun = true
		r.lines = append(r.lines, "begin")
	}
	r.lines = append(r.lines, line)
	close(r.changed)
	r.changed = make(chan struct{})
	return r.fail
}

func (r *recorder) Begin(postgres.Tx) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = false
	return r.fail
}

func (r *recorder) Change(op postgres.Op, rel *source.Table, row []outbox.Value) error {
	fields := []string{string(rune(op)), rel.Schema + "." + rel.Name}
	for i, v := range row {
		name := rel.Columns[i].Name
		if base := rel.Columns[i].BaseOID; base != 0 {
			name += fmt.Sprintf(" of %d", base)
		}
		switch v.Kind {
		case outbox.NullValue:
			fields = append(fields, name+" null")
		case outbox.UnchangedTOAST:
			fields = append(fields, name+" unchanged")
		case outbox.TextValue:
			fields = append(fields, name+"="+string(v.Data))
		}
	}
	return r.note(strings.Join(fields, " "))
}

func (r *recorder) Message(prefix string, content []byte) error {
	return r.note("message " + prefix + " " + string(content))
}

func (*recorder) NonTransactional(string) {}

func (r *recorder) Commit(tx postgres.Tx) error {
	r.mu.Lock()
	r.tx = tx
	onEnd, begun := r.onEnd, r.begun
	r.mu.Unlock()
	if onEnd != nil {
		onEnd(tx.EndLSN)
	}
	if !begun {
		return nil
	}
	return r.note("commit")
}

func (r *recorder) Keepalive(lsn outbox.LSN) error {
	r.mu.Lock()
	r.idle = max(r.idle, lsn)
	onEnd := r.onEnd
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	if onEnd != nil {
		onEnd(lsn)
	}
	return nil
}

func (r *recorder) Ready() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.room == nil {
		return nil
	}
	select {
	case <-r.room:
		return nil
	default:
		r.waits++
		return r.room
	}
}

func (r *recorder) hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := make(chan struct{})
	r.room = room
	return sync.OnceFunc(func() { close(room) })
}

// await returns the lines once there are n.
func (r *recorder) await(t *testing.T, n int) []string {
	t.Helper()
	r.until(t, func() bool { return len(r.lines) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...)
}

// until waits for something that the recorder knows.
func (r *recorder) until(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		ok, changed, lines := done(), r.changed, len(r.lines)
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("nothing more came after %d lines", lines)
		}
	}
}

// testBundle is a database with the tables that are streamed.
type testBundle struct {
	url  string
	slot string
	conn *pgx.Conn
}

const schema = `
	CREATE TABLE outbox (id int PRIMARY KEY, type text, payload text);
	CREATE TABLE neighbour (id int);
	CREATE SCHEMA tailpost;
	CREATE TABLE tailpost.endpoint (id text PRIMARY KEY, url text);`

func setup(t *testing.T) *testBundle {
	t.Helper()
	db := pgtest.NewDB(t)
	slot := db.Slot()
	// The endpoint publication's name is longer; what makes it unique stands at its end.
	b := &testBundle{url: db.URL, slot: slot[max(0, len(slot)-54):], conn: db.Conn(t)}
	b.exec(t, schema)
	return b
}

// setupServer is setup on a server of the test's own.
func setupServer(t *testing.T, settings map[string]string) (*pgserver.Server, *testBundle) {
	t.Helper()
	all := pgserver.FastSettings()
	maps.Copy(all, settings)
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: all})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	b := &testBundle{url: server.URL("postgres"), slot: "tp", conn: conn}
	b.exec(t, schema)
	return server, b
}

func (b *testBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// version is the server's, as server_version_num.
func (b *testBundle) version(t *testing.T) int {
	t.Helper()
	var version int
	require.NoError(t, b.conn.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&version))
	return version
}

func (b *testBundle) insert(t *testing.T, id int) {
	t.Helper()
	b.exec(t, `INSERT INTO outbox (id, type, payload) VALUES ($1, 'order.created', '{}')`, id)
}

func inserted(id int) string {
	return fmt.Sprintf("I public.outbox id=%d type=order.created payload={}", id)
}

func (b *testBundle) options() postgres.Options {
	return postgres.Options{URL: b.url, Slot: b.slot, Table: "public.outbox", Create: true}
}

func (b *testBundle) open(t *testing.T, o postgres.Options) *postgres.Stream {
	t.Helper()
	s, err := postgres.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// confirmed is where the slot stands.
func (b *testBundle) confirmed(t *testing.T) outbox.LSN {
	t.Helper()
	return b.lsn(t, `SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
}

func (b *testBundle) lsn(t *testing.T, sql string, args ...any) outbox.LSN {
	t.Helper()
	var text string
	require.NoError(t, b.conn.QueryRow(t.Context(), sql, args...).Scan(&text))
	lsn, err := outbox.ParseLSN(text)
	require.NoError(t, err)
	return lsn
}

// awaitSQL waits until a query that gives one boolean gives true.
func (b *testBundle) awaitSQL(t *testing.T, sql string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool {
		var ok bool
		return b.conn.QueryRow(t.Context(), sql, args...).Scan(&ok) == nil && ok
	}, patience, 10*time.Millisecond, sql)
}

// running is a Stream whose Run is on.
type running struct {
	stream *postgres.Stream
	stop   context.CancelFunc
	done   chan struct{}
	err    error
}

func run(t *testing.T, s *postgres.Stream, h postgres.Handler) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{stream: s, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = s.Run(ctx, h)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// end waits for Run to end by itself.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(patience):
		t.Fatal("Run goes on")
		return nil
	}
}

func (r *running) stopped(t *testing.T) {
	t.Helper()
	r.stop()
	require.NoError(t, r.end(t))
}
