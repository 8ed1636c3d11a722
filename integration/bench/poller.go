package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// pollerSchema is the outbox of the poller, with what its query needs, and the log of what it sent.
const pollerSchema = `
CREATE TABLE polled (
    id              bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    type            text        NOT NULL,
    payload         jsonb       NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON polled (next_attempt_at, id);
CREATE TABLE polled_attempt (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    event_id    bigint      NOT NULL,
    url         text        NOT NULL,
    status      integer     NOT NULL,
    duration_us integer     NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON polled_attempt (event_id)`

// polled is a row that is being sent.
type polled struct {
	id      int64
	payload []byte
	status  int
	took    time.Duration
}

// poller is the baseline: it locks a page of due rows, posts them, writes what came of it with one
// statement each for rows and attempts, and commits. It asks again at once after a full page, else
// after an interval.
type poller struct {
	conn    *pgx.Conn
	poster  *poster
	url     string
	page    int
	senders int
}

// runPoll is the child process of the poller. It runs until it is stopped.
func runPoll(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("poll", flag.ContinueOnError)
	database := flags.String("database", "", "connection string")
	url := flags.String("url", "", "where to post to")
	page := flags.Int("page", 500, "rows of a page")
	senders := flags.Int("senders", 64, "requests at once")
	interval := flags.Duration("interval", 100*time.Millisecond, "between polls that find less than a page")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, *database)
	if err != nil {
		return fmt.Errorf("connect the poller: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p := &poller{conn: conn, url: *url, page: *page, senders: *senders}
	if p.poster, err = newPoster(*senders, false); err != nil {
		return err
	}
	ticks := time.NewTicker(*interval)
	defer ticks.Stop()
	for ctx.Err() == nil {
		n, err := p.poll(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if n == *page {
			continue
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
		}
	}
	return nil
}

func (p *poller) poll(ctx context.Context) (n int, err error) {
	err = pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
SELECT id, payload
FROM polled
WHERE next_attempt_at <= now()
ORDER BY next_attempt_at, id
LIMIT $1
FOR UPDATE SKIP LOCKED`, p.page)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (polled, error) {
			var e polled
			return e, row.Scan(&e.id, &e.payload)
		})
		if err != nil || len(page) == 0 {
			return err
		}
		n = len(page)
		p.send(ctx, page)
		return p.write(ctx, tx, page)
	})
	return n, err
}

func (p *poller) send(ctx context.Context, page []polled) {
	work := make(chan *polled)
	var senders sync.WaitGroup
	for range min(p.senders, len(page)) {
		senders.Go(func() {
			for e := range work {
				began := time.Now()
				status, err := p.poster.post(ctx, p.url, fmt.Sprintf("evt_%d", e.id), e.payload)
				if err == nil {
					e.status = status
				}
				e.took = time.Since(began)
			}
		})
	}
	for i := range page {
		work <- &page[i]
	}
	close(work)
	senders.Wait()
}

func (p *poller) write(ctx context.Context, tx pgx.Tx, page []polled) error {
	var good, bad, ids []int64
	var statuses, durations []int32
	for _, e := range page {
		if e.status == http.StatusOK {
			good = append(good, e.id)
		} else {
			bad = append(bad, e.id)
		}
		ids = append(ids, e.id)
		statuses = append(statuses, int32(e.status))                //nolint:gosec // three digits
		durations = append(durations, int32(e.took.Microseconds())) //nolint:gosec // bounded by the timeout
	}
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM polled WHERE id = ANY($1)`, good)
	if len(bad) > 0 {
		batch.Queue(`UPDATE polled SET attempts = attempts + 1, next_attempt_at = now() + interval '1 second' WHERE id = ANY($1)`, bad)
	}
	batch.Queue(`
INSERT INTO polled_attempt (event_id, url, status, duration_us)
SELECT id, $2, status, duration
FROM unnest($1::bigint[], $3::integer[], $4::integer[]) AS a (id, status, duration)`, ids, p.url, statuses, durations)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write what was sent: %w", err)
	}
	return nil
}
