package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// runMany is many endpoints of many tenants in one configuration file.
func runMany(ctx context.Context, b *bench, count, tenants int, start, rss float64) error {
	used := min(count, 10_000) // the receiver has no descriptors for more connections
	n := b.size(2 * used)
	list := make([]endpoint, count)
	for i := range list {
		list[i] = endpoint{path: path(i), hcl: fmt.Sprintf("tenant = \"tenant_%d\"\n  subscription {\n    events = [%q]\n  }", i%tenants, eventType(i))}
	}
	d, err := b.newDatabase(ctx, list)
	if err != nil {
		return err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return err
	}
	startCPU := cpuSeconds(relay.pid())
	if err := d.fillTenants(ctx, n, used, tenants); err != nil {
		return err
	}
	t, err := b.await(ctx, "/endpoint", n)
	if err != nil {
		return errors.Join(err, relay.stop())
	}
	mem, err := memoryOf(relay.pid())
	if err := errors.Join(err, relay.stop()); err != nil {
		return err
	}
	work := fmt.Sprintf("%s endpoints, %s tenants: ", grouped(count), grouped(tenants))
	b.table.add(row{work: work + "start", unit: "s", target: fmt.Sprint(start), met: atMost(start)}, reading{tailpost: relay.startup.Seconds()})
	b.table.add(row{work: work + "CPU of the start", unit: "s"}, reading{tailpost: startCPU})
	b.table.add(row{work: work + "RSS after delivering", unit: "MiB", target: fmt.Sprint(rss), met: atMost(rss)}, reading{tailpost: mem.resident})
	b.table.add(row{work: work + "peak RSS, while the configuration is read", unit: "MiB"}, reading{tailpost: mem.peak})
	b.table.add(row{work: work + "delivered while inserted", unit: "events/s"}, reading{tailpost: t.rate()})
	return d.close(ctx)
}

// grouped prints a number with commas.
func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

// runWide sends one event to 10,000 endpoints. The limit opens as many connections.
func runWide(ctx context.Context, b *bench) error {
	const count = 10_000
	d, err := b.newDatabase(ctx, endpoints(b.size(count), true, ""))
	if err != nil {
		return err
	}
	n := b.size(count)
	limit, err := b.limitFresh(ctx, n, 128)
	if err != nil {
		return err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return err
	}
	b.sink.reset()
	began := time.Now()
	if err := d.fill(ctx, "outbox", 1, 1, 1); err != nil {
		return errors.Join(err, relay.stop())
	}
	free, err := d.awaitFree(ctx, began)
	if err != nil {
		return errors.Join(err, relay.stop())
	}
	t, err := b.await(ctx, "/endpoint", n)
	if err != nil {
		return errors.Join(err, relay.stop())
	}
	mem, err := memoryOf(relay.pid())
	if err := errors.Join(err, relay.stop()); err != nil {
		return err
	}
	raw, took := float64(n)/limit.Rate, float64(t.last-began.UnixNano())/1e9
	b.table.add(row{work: "one event to 10,000 endpoints: all sent", unit: "s", target: "limit + 1.0", met: func(s summary) bool { return s.tailpost <= s.limit+1 }},
		reading{limit: raw, tailpost: took})
	b.table.add(row{work: "one event to 10,000 endpoints: WAL free", unit: "s", target: "2 (park_after + 1)", met: atMost(2)}, reading{tailpost: free.Seconds()})
	b.table.add(row{work: "one event to 10,000 endpoints: peak RSS", unit: "MiB"}, reading{tailpost: mem.peak})
	return d.close(ctx)
}

// awaitFree waits until the slot lets go of what is committed now, and returns how long after began
// that was.
func (d *database) awaitFree(ctx context.Context, began time.Time) (time.Duration, error) {
	var target string
	if err := d.conn.QueryRow(ctx, "SELECT max(commit_lsn)::text FROM (SELECT pg_current_wal_insert_lsn() AS commit_lsn) AS now").Scan(&target); err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(patience); ; {
		var free bool
		err := d.conn.QueryRow(ctx, "SELECT confirmed_flush_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", target, d.name).Scan(&free)
		switch {
		case err != nil || free:
			return time.Since(began), err
		case time.Now().After(deadline):
			return 0, errors.New("the slot did not let go in time")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// runGiant is one transaction of a million rows.
func runGiant(ctx context.Context, b *bench) error {
	n := b.size(1_000_000)
	r, err := b.drainOnce(ctx, n, n)
	if err != nil {
		return err
	}
	b.table.add(row{work: "one transaction of 1,000,000 rows", unit: "events/s"}, reading{tailpost: r.rate()})
	b.table.add(row{work: "one transaction of 1,000,000 rows: peak RSS", unit: "MiB", target: "64", met: atMost(64)}, reading{tailpost: r.memory.peak})
	return nil
}

// runBacklog is a backlog of a million rows beside one of 50,000.
func runBacklog(ctx context.Context, b *bench) error {
	n := b.size(1_000_000)
	small, err := b.drainOnce(ctx, n/20, 200)
	if err != nil {
		return err
	}
	large, err := b.drainOnce(ctx, n, 200)
	if err != nil {
		return err
	}
	perEvent := func(r drained) float64 { return (r.relayCPU + r.postgresCPU) / float64(r.received) * 1000 }
	within := func(s summary) bool { return s.tailpost <= 1.1 }
	b.table.add(row{work: "drain 1,000,000", unit: "events/s"}, reading{tailpost: large.rate()})
	b.table.add(row{work: "drain 1,000,000: peak RSS", unit: "MiB", target: "48", met: atMost(48)}, reading{tailpost: large.memory.peak})
	b.table.add(row{work: "cost of an event (CPU), 1,000,000 against 50,000", unit: "ratio", target: "1.1", met: within},
		reading{tailpost: perEvent(large) / perEvent(small)})
	b.table.add(row{work: "time of an event, 1,000,000 against 50,000", unit: "ratio", target: "1.1", met: within},
		reading{tailpost: small.rate() / large.rate()})
	return nil
}

// drainOnce drains n events in a database of its own.
func (b *bench) drainOnce(ctx context.Context, n, perTransaction int) (drained, error) {
	d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"))
	if err != nil {
		return drained{}, err
	}
	if err := d.fill(ctx, "outbox", n, perTransaction, 1); err != nil {
		return drained{}, err
	}
	r, err := d.drain(ctx, n)
	return r, errors.Join(err, d.close(ctx))
}

// attemptsSQL makes attempts over the hours of today that have passed, of events whose ids grow
// with time as those of the default table do.
const attemptsSQL = `
INSERT INTO tailpost.attempt (
    event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, duration_ms, response_body,
    attempted_at, commit_lsn
)
SELECT '018f0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'), 'bench.type_0', 'endpoint_' || i % 100, 1, 'stream', 'http://127.0.0.1/', 'delivered', 200, 1.5, 'ok',
       date_trunc('day', now()) + (now() - date_trunc('day', now())) * (i::double precision / $2), '0/1'::pg_lsn + i
FROM generate_series($1::bigint, $1::bigint + 499999) AS i`

// pageSQL is a page of the attempts of an endpoint, as people ask for it.
const pageSQL = `
SELECT event_id, number, outcome, status_code, duration_ms, attempted_at
FROM tailpost.attempt
WHERE endpoint_id = $1
ORDER BY attempted_at DESC
LIMIT 50`

// runAttempts is recording beside 10 million attempts of the same day.
func runAttempts(ctx context.Context, b *bench) error {
	n, rows := b.size(50_000), b.size(10_000_000)
	d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"))
	if err != nil {
		return err
	}
	drain := func() (drained, error) {
		b.sink.reset()
		if err := d.fill(ctx, "outbox", n, 200, 1); err != nil {
			return drained{}, err
		}
		return d.drain(ctx, n)
	}
	before, err := drain()
	if err != nil {
		return err
	}
	for first := 0; first < rows; first += 500_000 {
		if _, err := d.conn.Exec(ctx, attemptsSQL, first, rows); err != nil {
			return fmt.Errorf("make attempts: %w", err)
		}
	}
	// What filling the table left to do is done first: autovacuum would do it at some time.
	if _, err := d.conn.Exec(ctx, "VACUUM (FREEZE, ANALYZE) tailpost.attempt"); err != nil {
		return fmt.Errorf("vacuum the attempts: %w", err)
	}
	if err := d.pass(ctx); err != nil {
		return err
	}
	// The first change of a page after a checkpoint writes all of it to the WAL.
	first, err := drain()
	if err != nil {
		return err
	}
	after, err := drain()
	if err != nil {
		return err
	}
	page, err := d.timePage(ctx)
	if err != nil {
		return err
	}
	b.table.add(row{work: "recording beside 10,000,000 attempts", unit: "of its rate", target: "0.9", met: atLeast(0.9)},
		reading{tailpost: after.rate() / before.rate()})
	b.table.add(row{work: "the same, the first 50,000 after a checkpoint", unit: "of its rate"}, reading{tailpost: first.rate() / before.rate()})
	b.table.add(row{work: "a page of an endpoint's attempts among them", unit: "ms", target: "20", met: atMost(20)}, reading{tailpost: page})
	return d.close(ctx)
}

// pass has the relay read all WAL that there is, so that the slot begins after it.
func (d *database) pass(ctx context.Context) error {
	var target string
	if err := d.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&target); err != nil {
		return err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; {
		// A checkpoint notes which transactions run, and the slot can begin at such a note once it
		// has passed it.
		if err := d.b.exec(ctx, "CHECKPOINT"); err != nil {
			return errors.Join(err, relay.stop())
		}
		var passed bool
		err := d.conn.QueryRow(ctx, "SELECT restart_lsn >= $1::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", target, d.name).Scan(&passed)
		switch {
		case err != nil || passed:
			return errors.Join(err, relay.stop())
		case time.Now().After(deadline):
			return errors.Join(errors.New("the slot did not pass the attempts in time"), relay.stop())
		}
		time.Sleep(time.Second)
	}
}

// timePage returns the median time of a page in milliseconds.
func (d *database) timePage(ctx context.Context) (float64, error) {
	var times []float64
	for i := range 20 {
		began := time.Now()
		if _, err := d.conn.Exec(ctx, pageSQL, fmt.Sprintf("endpoint_%d", i)); err != nil {
			return 0, err
		}
		times = append(times, float64(time.Since(began))/1e6)
	}
	return median(times), nil
}
