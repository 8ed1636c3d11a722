package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// benchServer is a server with fsync and a migrated database, for one benchmark.
func benchServer(b *testing.B) (url string, conn *pgx.Conn) {
	b.Helper()
	server, err := pgserver.Start(b.Context(), pgserver.Options{Settings: map[string]string{"max_wal_size": "8GB"}})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Close()) })
	url = server.URL("postgres")
	conn = connectTo(b, url)
	migrate(b, conn)
	return url, conn
}

// benchAttempts makes attempts of n events with random ids over some endpoints.
func benchAttempts(n, endpoints int) []outbox.Attempt {
	out := make([]outbox.Attempt, n)
	for i := range out {
		out[i] = attempt("", fmt.Sprintf("endpoint-%d", i%endpoints), outbox.Delivered, 1)
		out[i].ResponseBody = []byte(strings.Repeat("{\"ok\":true} ", 5))
	}
	return out
}

// refresh gives attempts new identities, as new events have.
func refresh(attempts []outbox.Attempt, seq *outbox.LSN, ids []byte) {
	_, _ = rand.Read(ids) // never fails, says crypto/rand
	for i := range attempts {
		*seq += 300
		h := hex.EncodeToString(ids[i*16 : i*16+16])
		attempts[i].EventID = h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
		attempts[i].CommitLSN = *seq
	}
}

// meter measures what the server spends: WAL, and CPU of the backends whose application name is
// given.
type meter struct {
	conn *pgx.Conn
	pids []int
	wal  float64
	cpu  time.Duration
}

func startMeter(b *testing.B, conn *pgx.Conn, application string) *meter {
	b.Helper()
	rows, err := conn.Query(b.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = $1`, application)
	require.NoError(b, err)
	m := &meter{conn: conn}
	m.pids, err = pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(b, err)
	require.NotEmpty(b, m.pids)
	m.wal, m.cpu = m.read(b)
	return m
}

func (m *meter) read(b *testing.B) (wal float64, cpu time.Duration) {
	b.Helper()
	require.NoError(b, m.conn.QueryRow(b.Context(), `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn`).Scan(&wal))
	for _, pid := range m.pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		require.NoError(b, err)
		// Fields 14 and 15, in hundredths of a second; the second one ends with a parenthesis.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+2:])
		for _, f := range fields[11:13] {
			ticks, err := strconv.Atoi(string(f))
			require.NoError(b, err)
			cpu += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return wal, cpu
}

func (m *meter) report(b *testing.B, rows int) {
	b.Helper()
	wal, cpu := m.read(b)
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric((wal-m.wal)/float64(rows), "WAL-B/row")
	b.ReportMetric(float64((cpu-m.cpu).Microseconds())/float64(rows), "server-µs/row")
}

// benchmarkRecord records batches of n attempts to some endpoints. dress, if there is one, is
// called for each with how many there were before.
func benchmarkRecord(b *testing.B, url string, conn *pgx.Conn, n, endpoints int, dress ...func(a *outbox.Attempt, before int)) {
	b.Helper()
	l := (&bundle{}).open(b, url)
	require.NoError(b, l.EnsurePartitions(b.Context(), noon))
	hold := take(b, l)
	batch := &ledger.Batch{Attempts: benchAttempts(n, endpoints), Now: noon}
	var seq outbox.LSN
	ids := make([]byte, 16*n)
	m, disk, count := startMeter(b, conn, "tailpost test"), onDisk(b, conn), 0
	b.ReportAllocs()
	for b.Loop() {
		refresh(batch.Attempts, &seq, ids)
		for _, each := range dress {
			for i := range batch.Attempts {
				each(&batch.Attempts[i], count+i)
			}
		}
		count += n
		batch.Settled = seq
		if err := l.Record(b.Context(), hold, batch); err != nil {
			b.Fatal(err)
		}
	}
	m.report(b, b.N*n)
	b.ReportMetric((onDisk(b, conn)-disk)/float64(b.N*n), "disk-B/row")
	require.NoError(b, l.Close(b.Context()))
}

// onDisk is how much attempts take, with their indexes.
func onDisk(b *testing.B, conn *pgx.Conn) (bytes float64) {
	b.Helper()
	require.NoError(b, conn.QueryRow(b.Context(), `
		SELECT COALESCE(sum(pg_total_relation_size(p.relid)), 0) FROM pg_partition_tree('tailpost.attempt') AS p WHERE p.isleaf`).Scan(&bytes))
	return bytes
}

// BenchmarkWhatIsRecorded measures what an attempt costs with what a configuration adds to it: more
// types to count, outbox.search, and attempts { headers = true }.
func BenchmarkWhatIsRecorded(b *testing.B) {
	url, conn := benchServer(b)
	terms := func(n int) func(*outbox.Attempt, int) {
		return func(a *outbox.Attempt, before int) {
			a.Search = make([]string, n)
			for i := range a.Search {
				a.Search[i] = fmt.Sprintf("order%d=%012d", i, before)
			}
		}
	}
	types := func(n int) func(*outbox.Attempt, int) {
		return func(a *outbox.Attempt, before int) { a.EventType = fmt.Sprintf("order.type_%d", before%n) }
	}
	for _, c := range []struct {
		name      string
		endpoints int
		dress     func(*outbox.Attempt, int)
	}{
		{"plain", 1, types(1)},
		{"types=20", 1, types(20)},
		{"plain/endpoints=10", 10, types(1)},
		{"types=20/endpoints=10", 10, types(20)},
		{"search=1", 1, terms(1)},
		{"search=4", 1, terms(4)},
		{"headers", 1, withHeaders},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkRecord(b, url, conn, 256, c.endpoints, c.dress) })
	}
}

// withHeaders gives an attempt the headers of a request as Tailpost sends it, and of an answer as
// a receiver behind a proxy gives it.
func withHeaders(a *outbox.Attempt, before int) {
	a.RequestHeaders = map[string]string{
		"content-type": "application/json", "user-agent": "Tailpost/1.0", "webhook-id": a.EventID, "webhook-timestamp": strconv.Itoa(1_795_839_090 + before),
		"webhook-signature": "[redacted]", "content-length": "512", "host": "example.com",
	}
	a.ResponseHeaders = map[string]string{
		"content-type": "application/json; charset=utf-8", "date": "Sat, 28 Nov 2026 04:11:30 GMT", "server": "nginx", "content-length": "60", "connection": "keep-alive",
		"x-request-id": a.EventID, "strict-transport-security": "max-age=63072000; includeSubDomains",
	}
}

func BenchmarkRecord(b *testing.B) {
	url, conn := benchServer(b)
	for _, n := range []int{1, 32, 256, 1024} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) { benchmarkRecord(b, url, conn, n, 1) })
	}
	for _, endpoints := range []int{10, 100} {
		b.Run(fmt.Sprintf("rows=256/endpoints=%d", endpoints), func(b *testing.B) { benchmarkRecord(b, url, conn, 256, endpoints) })
	}
}

// BenchmarkIndexes measures what each index of tailpost.attempt costs a row, against a table that
// has 500,000 already.
func BenchmarkIndexes(b *testing.B) {
	indexes := map[string]string{
		"event":    `CREATE INDEX ON tailpost.attempt (event_id)`,
		"endpoint": `CREATE INDEX ON tailpost.attempt (endpoint_id, attempted_at)`,
		"brin":     `CREATE INDEX ON tailpost.attempt USING brin (commit_lsn) WITH (pages_per_range = 16)`,
		"search": `CREATE INDEX ON tailpost.attempt USING brin (attempted_at, event_type text_bloom_ops, tenant text_bloom_ops)
			WITH (pages_per_range = 32)`,
		"hash": `CREATE INDEX ON tailpost.attempt USING hash (event_id)`,
	}
	for _, set := range []string{"none", "event", "hash", "endpoint", "brin", "search", "event endpoint brin search"} {
		b.Run(strings.ReplaceAll(set, " ", "+"), func(b *testing.B) {
			url, conn := benchServer(b)
			_, err := conn.Exec(b.Context(), `DROP INDEX tailpost.attempt_event_idx, tailpost.attempt_endpoint_idx, tailpost.attempt_position_idx, tailpost.attempt_search_idx`)
			require.NoError(b, err)
			l := (&bundle{}).open(b, url)
			require.NoError(b, l.EnsurePartitions(b.Context(), noon))
			require.NoError(b, l.Close(b.Context()))
			fill(b, conn, 500_000)
			for name := range strings.FieldsSeq(set) {
				if sql := indexes[name]; sql != "" {
					_, err := conn.Exec(b.Context(), sql)
					require.NoError(b, err)
				}
			}
			_, err = conn.Exec(b.Context(), `CHECKPOINT`)
			require.NoError(b, err)
			benchmarkRecord(b, url, conn, 256, 1)
		})
	}
}

// fill adds n attempts whose LSNs grow.
func fill(b *testing.B, conn *pgx.Conn, n int) {
	b.Helper()
	_, err := conn.Exec(b.Context(), `
		INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, duration_ms,
		    response_body, attempted_at, commit_lsn)
		SELECT gen_random_uuid(), 'order.created', 'endpoint-0', 1, 'stream', 'https://example.com/in', 'delivered', 200, 1,
		    repeat('{"ok":true} ', 5), $2::timestamptz, '0/0'::pg_lsn + i * 300
		FROM generate_series(1, $1::int) AS i`, n, noon)
	require.NoError(b, err)
}

// BenchmarkCopy is the limit: COPY alone, into a table without indexes.
func BenchmarkCopy(b *testing.B) {
	url, conn := benchServer(b)
	_, err := conn.Exec(b.Context(), `CREATE TABLE plain (LIKE tailpost.attempt)`)
	require.NoError(b, err)
	writer := connectTo(b, url+"&application_name=writer")
	for _, n := range []int{32, 256, 1024} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			attempts, ids, seq := benchAttempts(n, 1), make([]byte, 16*n), outbox.LSN(0)
			m := startMeter(b, conn, "writer")
			b.ReportAllocs()
			for b.Loop() {
				refresh(attempts, &seq, ids)
				if _, err := writer.PgConn().CopyFrom(b.Context(), copyText(attempts), `
					COPY plain (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, error, duration_ms,
					    response_body, response_truncated, attempted_at, commit_lsn) FROM STDIN`); err != nil {
					b.Fatal(err)
				}
			}
			m.report(b, b.N*n)
		})
	}
}

func copyText(attempts []outbox.Attempt) *bytes.Buffer {
	var w bytes.Buffer
	for i := range attempts {
		a := &attempts[i]
		fmt.Fprintf(&w, "%s\t%s\t\\N\t%s\t1\tstream\t%s\tdelivered\t200\t\\N\t3\t%s\tf\t2026-03-14 12:00:00+00\t%s\n",
			a.EventID, a.EventType, a.EndpointID, a.URL, a.ResponseBody, a.CommitLSN)
	}
	return &w
}

// BenchmarkPark parks, and then removes, batches of deliveries with payloads of 500 bytes.
func BenchmarkPark(b *testing.B) {
	url, conn := benchServer(b)
	l := (&bundle{}).open(b, url)
	hold := take(b, l)
	const n = 256
	batch := &ledger.Batch{Park: make([]outbox.Delivery, n), Remove: make([]ledger.QueueRow, n)}
	seq := outbox.LSN(0)
	m := startMeter(b, conn, "tailpost test")
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch.Park {
			seq++
			batch.Park[i] = pending(strconv.FormatUint(uint64(seq), 10), "erp", "", seq, noon)
			batch.Park[i].Event.Payload = bytes.Repeat([]byte("x"), 500)
			batch.Remove[i] = rowOf(batch.Park[i])
		}
		require.NoError(b, l.Record(b.Context(), hold, &ledger.Batch{Park: batch.Park}))
		require.NoError(b, l.Record(b.Context(), hold, &ledger.Batch{Remove: batch.Remove}))
	}
	m.report(b, b.N*n)
}

// BenchmarkRecorded loads the last 10,000 of a million attempts.
func BenchmarkRecorded(b *testing.B) {
	url, conn := benchServer(b)
	l := (&bundle{}).open(b, url)
	require.NoError(b, l.EnsurePartitions(b.Context(), noon))
	const rows = 1_000_000
	fill(b, conn, rows)
	load := func(b *testing.B, from outbox.LSN) {
		b.Helper()
		n := 0
		for b.Loop() {
			pairs, _, err := l.Recorded(b.Context(), "s", from, ledger.MostRecorded)
			require.NoError(b, err)
			n = len(pairs)
		}
		b.ReportMetric(float64(n), "pairs")
	}
	b.Run("unsummarized", func(b *testing.B) { load(b, (rows-10_000)*300) })
	_, err := conn.Exec(b.Context(), `VACUUM tailpost.attempt`)
	require.NoError(b, err)
	b.Run("summarized", func(b *testing.B) { load(b, (rows-10_000)*300) })
	b.Run("all", func(b *testing.B) { load(b, 0) })
}

// BenchmarkDue loads 500 of 100,000 deliveries that became due at once, some of which are in memory
// already.
func BenchmarkDue(b *testing.B) {
	url, conn := benchServer(b)
	l := (&bundle{}).open(b, url)
	_, err := conn.Exec(b.Context(), `
		INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, key, payload,
		    event_created_at, commit_lsn, seq, created_at, updated_at)
		SELECT gen_random_uuid(), 'erp', 'pending', 'paused', 0, $1::timestamptz, 'order.created', 'k' || i % 1000,
		    convert_to(repeat('x', 500), 'UTF8'), $1, '0/0'::pg_lsn + i, 0, $1, $1
		FROM generate_series(1, 100000) AS i`, noon)
	require.NoError(b, err)
	run := func(name string, load func(context.Context) error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, load(b.Context()))
			}
		})
	}
	query := ledger.PageQuery{EndpointID: "erp", Now: noon, Limit: 500}
	first, err := l.Page(b.Context(), query)
	require.NoError(b, err)
	query.Exclude = ids(first.Deliveries)
	run("page", func(ctx context.Context) error { _, err := l.Page(ctx, query); return err })
	keys := []string{"k1", "k2", "k3", "k4"}
	run("keys", func(ctx context.Context) error { _, _, err := l.InKeyOrder(ctx, "erp", keys, 16, false); return err })
	run("order", func(ctx context.Context) error { _, _, err := l.InOrder(ctx, "erp", 500, false); return err })
	run("heads", func(ctx context.Context) error { _, err := l.KeyHeads(ctx, "erp", false, 100_000); return err })
	run("first", func(ctx context.Context) error { _, err := l.First(ctx, "erp", false); return err })
	run("next", func(ctx context.Context) error { _, err := l.NextDue(ctx); return err })
}
