package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// counter is a Handler that counts, and acknowledges every commit.
type counter struct {
	stream *postgres.Stream
	want   int
	rows   int
	first  time.Time
	done   context.CancelFunc
}

func (*counter) Begin(postgres.Tx) error { return nil }

func (c *counter) Change(postgres.Op, *source.Table, []outbox.Value) error {
	if c.rows++; c.rows == 1 {
		c.first = time.Now()
	}
	return nil
}

func (*counter) Message(string, []byte) error { return nil }
func (*counter) NonTransactional(string)      {}

func (c *counter) Commit(tx postgres.Tx) error {
	c.stream.Ack(tx.EndLSN)
	if c.rows >= c.want {
		c.done()
	}
	return nil
}

func (*counter) Keepalive(outbox.LSN) error { return nil }
func (*counter) Ready() <-chan struct{}     { return nil }

// BenchmarkStream reads a backlog of 500-byte rows from a local server, from its first row to its
// last.
func BenchmarkStream(b *testing.B) {
	const rows = 100_000
	for name, fill := range map[string]string{
		"one transaction": `INSERT INTO outbox SELECT i, 'order.created', repeat('x', 500) FROM generate_series(1, 100000) AS i`,
		"one transaction each": `DO $$ BEGIN
			FOR i IN 1..100000 LOOP
				INSERT INTO outbox VALUES (i, 'order.created', repeat('x', 500));
				COMMIT;
			END LOOP;
		END $$`,
	} {
		b.Run(name, func(b *testing.B) {
			db := pgtest.NewDB(b)
			conn := db.Conn(b)
			_, err := conn.Exec(b.Context(), schema)
			require.NoError(b, err)
			slot := db.Slot()
			options := postgres.Options{URL: db.URL, Slot: slot[max(0, len(slot)-54):], Table: "public.outbox", Create: true}
			s, err := postgres.Open(b.Context(), options)
			require.NoError(b, err)
			s.Close()
			var spent time.Duration
			var read int
			for b.Loop() {
				b.StopTimer()
				_, err = conn.Exec(b.Context(), `TRUNCATE outbox`)
				require.NoError(b, err)
				_, err = conn.Exec(b.Context(), fill, pgx.QueryExecModeSimpleProtocol)
				require.NoError(b, err)
				b.StartTimer()
				s, err := postgres.Open(b.Context(), options)
				require.NoError(b, err)
				ctx, done := context.WithCancel(b.Context())
				c := &counter{stream: s, want: rows, done: done}
				require.NoError(b, s.Run(ctx, c))
				spent += time.Since(c.first)
				read += c.rows
			}
			b.ReportMetric(float64(read)/spent.Seconds(), "rows/s")
		})
	}
}
