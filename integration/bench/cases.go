package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// benchCase measures some rows of the table once.
type benchCase struct {
	name string
	once bool // takes long and varies little: the first run only
	run  func(ctx context.Context, b *bench) error
}

func cases() []benchCase {
	return []benchCase{
		{name: "drain", run: runDrain},
		{name: "batch", run: runBatch},
		{name: "tls-http1", run: func(ctx context.Context, b *bench) error { return runSecure(ctx, b, false) }},
		{name: "tls-http2", run: func(ctx context.Context, b *bench) error { return runSecure(ctx, b, true) }},
		{name: "handshakes", run: runHandshakes},
		{name: "endpoints-100", run: runHundred},
		{name: "fan-out-10", run: runFanOut},
		{name: "latency-200", run: func(ctx context.Context, b *bench) error { return runLatency(ctx, b, 200) }},
		{name: "latency-1000", run: func(ctx context.Context, b *bench) error { return runLatency(ctx, b, 1000) }},
		{name: "slow-receiver", run: runSlow},
		{name: "idle", run: runIdle},
		{name: "hanging", run: runHanging},
		{name: "refusing", run: runRefusing},
		{name: "capacity", run: runCapacity},
		{name: "outage", run: runOutage},
		{name: "parked", run: runParked},
		{name: "endpoints-10000", run: func(ctx context.Context, b *bench) error { return runMany(ctx, b, 10_000, 1_000, 2, 120) }},
		{name: "endpoints-100000", once: true, run: func(ctx context.Context, b *bench) error { return runMany(ctx, b, 100_000, 10_000, 8, 700) }},
		{name: "fan-out-10000", run: runWide},
		{name: "dead-1000000", once: true, run: runDead},
		{name: "keys-1000000", once: true, run: runKeys},
		{name: "transaction-1000000", run: runGiant},
		{name: "backlog-1000000", run: runBacklog},
		{name: "attempts-10000000", once: true, run: runAttempts},
		{name: "fanout-cost", run: runFanoutCost},
		{name: "fanout-steady", run: runFanoutSteady},
		{name: "fanout-scale", run: runFanoutScale},
		{name: "fanout-delay", run: runFanoutDelay},
		{name: "fanout-takeover", run: runFanoutTakeover},
		{name: "fanout-rate", run: runFanoutRate},
		{name: "headers", run: runExtras},
		{name: "recorder", run: runRecorder},
		{name: "micro", run: runMicro},
	}
}

// drained is what draining a backlog took.
type drained struct {
	tally

	relayCPU, postgresCPU float64 // seconds
	memory                memory  // of the relay, at the end
	walBytes              int64
	batches               int // recording transactions
}

// fillAndDrain drains n events that it writes first.
func (d *database) fillAndDrain(ctx context.Context, n int) (drained, error) {
	if err := d.fill(ctx, "outbox", n, 200, 1); err != nil {
		return drained{}, err
	}
	return d.drain(ctx, n)
}

// drain starts the relay on a backlog and waits until n events have arrived and all of them are
// recorded.
func (d *database) drain(ctx context.Context, n int) (r drained, err error) {
	wal, err := d.wal(ctx)
	if err != nil {
		return r, err
	}
	connections := d.b.sink.accepted.Load()
	postgres := startMeter(d.b.server.PID())
	relay, err := d.startRelay(ctx)
	if err != nil {
		return r, err
	}
	if r.tally, err = d.b.await(ctx, "/endpoint", n); err != nil {
		return r, errors.Join(err, relay.stop())
	}
	if err := d.awaitRecorded(ctx); err != nil {
		return r, errors.Join(err, relay.stop())
	}
	r.relayCPU, r.postgresCPU = cpuSeconds(relay.pid()), postgres.cpu()
	if r.memory, err = memoryOf(relay.pid()); err != nil {
		return r, errors.Join(err, relay.stop())
	}
	end, err := d.wal(ctx)
	r.walBytes = end - wal
	if err == nil {
		err = d.conn.QueryRow(ctx, "SELECT batch FROM tailpost.relay WHERE partition_of IS NULL").Scan(&r.batches)
	}
	fmt.Fprintf(d.b.log, "  %.0f events/s, %d connections, %d recording transactions, relay %.2f s and Postgres %.2f s of CPU, %d bytes of WAL, peak RSS %.1f MiB\n",
		r.rate(), d.b.sink.accepted.Load()-connections, r.batches, r.relayCPU, r.postgresCPU, r.walBytes, r.memory.peak)
	return r, errors.Join(err, relay.stop())
}

// awaitRecorded waits until the slot has been let go of everything, which is after the last outcome
// is recorded.
func (d *database) awaitRecorded(ctx context.Context) error {
	var target string
	if err := d.conn.QueryRow(ctx, "SELECT coalesce(max(commit_lsn), '0/0')::text FROM tailpost.attempt WHERE attempted_at > now() - interval '1 minute'").Scan(&target); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; {
		var settled bool
		err := d.conn.QueryRow(ctx, `
SELECT r.settled_lsn >= $2::text::pg_lsn AND NOT EXISTS (SELECT FROM tailpost.delivery WHERE state = 'pending')
FROM tailpost.relay AS r
WHERE r.slot = $1`, d.name, target).Scan(&settled)
		switch {
		case err != nil:
			return err
		case settled:
			return nil
		case time.Now().After(deadline):
			return errors.New("not recorded in time")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// drainPoller is drain for the poller.
func (d *database) drainPoller(ctx context.Context, n, senders int) (r drained, err error) {
	postgres := startMeter(d.b.server.PID())
	p, err := d.startPoller(ctx, senders)
	if err != nil {
		return r, err
	}
	if r.tally, err = d.b.await(ctx, "/poller", n); err != nil {
		return r, errors.Join(err, p.stop())
	}
	r.relayCPU, r.postgresCPU = cpuSeconds(p.pid()), postgres.cpu()
	return r, p.stop()
}

func runDrain(ctx context.Context, b *bench) error {
	n := b.size(50_000)
	d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"))
	if err != nil {
		return err
	}
	limit, err := b.limit(ctx, n, 64, 1)
	if err != nil {
		return err
	}
	b.sink.reset()
	tailpost, err := d.fillAndDrain(ctx, n)
	if err != nil {
		return err
	}
	// The poller comes last: what it writes is no part of the stream, but would have to be decoded
	// to find that out.
	if err := d.fill(ctx, "polled", n, 200, 1); err != nil {
		return err
	}
	poller, err := d.drainPoller(ctx, n, 64)
	if err != nil {
		return err
	}
	thousands := float64(n) / 1000
	b.table.add(row{work: "drain 50,000, 1 endpoint", unit: "events/s", target: "0.80 × limit, 1.1 × poller", met: both(ofLimit(0.8), func(s summary) bool { return s.ofPoller >= 1.1 })},
		reading{limit.Rate, poller.rate(), tailpost.rate()})
	b.table.add(row{work: "CPU of the relay in the drain", unit: "s/1000", target: "0.045", met: atMost(0.045)},
		reading{limit.CPU / thousands, poller.relayCPU / thousands, tailpost.relayCPU / thousands})
	b.table.add(row{work: "CPU of Postgres in the drain", unit: "s/1000", target: "0.015", met: atMost(0.015)},
		reading{0, poller.postgresCPU / thousands, tailpost.postgresCPU / thousands})
	b.table.add(row{work: "WAL written in the drain", unit: "bytes/event"},
		reading{tailpost: float64(tailpost.walBytes) / float64(n)})
	b.table.add(row{work: "sent twice in the drain", unit: "events", target: "0", met: func(s summary) bool { return s.tailpost == 0 }},
		reading{tailpost: float64(tailpost.duplicates)})
	b.table.add(row{work: "peak RSS in the drain", unit: "MiB"}, reading{tailpost: tailpost.memory.peak})
	return d.close(ctx)
}

// runBatch drains to an endpoint with batches, beside the same drain without them.
func runBatch(ctx context.Context, b *bench) error {
	n := b.size(50_000)
	var single drained
	for _, block := range []string{"", "\n  batch {}"} {
		d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"+block))
		if err != nil {
			return err
		}
		got, err := d.fillAndDrain(ctx, n)
		if err := errors.Join(err, d.close(ctx)); err != nil {
			return err
		}
		if block == "" {
			single = got
			continue
		}
		thousands := float64(n) / 1000
		b.table.add(row{work: "drain 50,000 with batch", unit: "of the rate without", target: "1.5", met: atLeast(1.5)},
			reading{tailpost: got.rate() / single.rate()})
		b.table.add(row{work: "CPU of the relay in it", unit: "s/1000"}, reading{tailpost: got.relayCPU / thousands})
		b.table.add(row{work: "CPU of the relay without batch", unit: "s/1000"}, reading{tailpost: single.relayCPU / thousands})
		b.table.add(row{work: "CPU of the relay beside that without", unit: "ratio", target: "0.6", met: atMost(0.6)},
			reading{tailpost: got.relayCPU / single.relayCPU})
		b.table.add(row{work: "sent twice in it", unit: "events", target: "0", met: func(s summary) bool { return s.tailpost == 0 }},
			reading{tailpost: float64(got.duplicates)})
		b.table.add(row{work: "peak RSS in it", unit: "MiB"}, reading{tailpost: got.memory.peak})
	}
	return nil
}

func runHundred(ctx context.Context, b *bench) error {
	return drainEndpoints(ctx, b, "100 endpoints, an event to one", endpoints(100, false, "concurrency = 64"), 50_000, 100, 1)
}

func runFanOut(ctx context.Context, b *bench) error {
	return drainEndpoints(ctx, b, "10 endpoints, an event to all", endpoints(10, true, "concurrency = 64"), 5_000, 1, 10)
}

// drainEndpoints drains events of some types; each event makes so many POSTs.
func drainEndpoints(ctx context.Context, b *bench, work string, list []endpoint, events, types, posts int) error {
	n := b.size(events)
	d, err := b.newDatabase(ctx, list)
	if err != nil {
		return err
	}
	limit, err := b.limit(ctx, n*posts, 64, len(list))
	if err != nil {
		return err
	}
	b.sink.reset()
	if err := d.fill(ctx, "outbox", n, 200, types); err != nil {
		return err
	}
	tailpost, err := d.drain(ctx, n*posts)
	if err != nil {
		return err
	}
	b.table.add(row{work: work, unit: "POSTs/s", target: "0.75 × limit", met: ofLimit(0.75)},
		reading{limit: limit.Rate, tailpost: tailpost.rate()})
	return d.close(ctx)
}

// runSlow drains to a receiver that takes 50 ms.
func runSlow(ctx context.Context, b *bench) error {
	const delay, concurrency = 50 * time.Millisecond, 512
	n := b.size(50_000)
	d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 512"))
	if err != nil {
		return err
	}
	for _, p := range []string{path(0), "/poller"} {
		b.sink.at(p).delay.Store(int64(delay))
	}
	limit, err := b.limit(ctx, n/2, concurrency, 1)
	if err != nil {
		return err
	}
	if err := d.fill(ctx, "polled", n/2, 200, 1); err != nil {
		return err
	}
	poller, err := d.drainPoller(ctx, n/2, concurrency)
	if err != nil {
		return err
	}
	b.sink.reset()
	b.sink.at(path(0)).delay.Store(int64(delay))
	tailpost, err := d.fillAndDrain(ctx, n)
	if err != nil {
		return err
	}
	b.table.add(row{work: "receiver takes 50 ms, concurrency 512", unit: "events/s", target: "8,000", met: atLeast(8000)},
		reading{limit.Rate, poller.rate(), tailpost.rate()})
	return d.close(ctx)
}

// runHanging drains to 20 endpoints, with one of them that never answers and without, and compares
// the rates of the others. The drains are short and the tables grow, so each kind is taken twice,
// in an order that favours neither.
func runHanging(ctx context.Context, b *bench) error {
	const count = 20
	n := b.size(60_000)
	d, err := b.newDatabase(ctx, endpoints(count, false, "concurrency = 16"))
	if err != nil {
		return err
	}
	seconds := make(map[bool]float64)
	for _, hangs := range []bool{false, true, true, false} {
		t, err := d.drainOthers(ctx, n, count, hangs)
		if err != nil {
			return err
		}
		seconds[hangs] += float64(t.received) / t.rate()
	}
	b.table.add(row{work: "1 of 20 endpoints hangs: the others", unit: "of their rate", target: "0.95", met: atLeast(0.95)},
		reading{tailpost: seconds[false] / seconds[true]})
	return d.close(ctx)
}

// drainOthers drains n events to count endpoints, of which the first one may hang, and looks at the
// others. What is left of the first one's is thrown away.
func (d *database) drainOthers(ctx context.Context, n, count int, hangs bool) (t tally, err error) {
	d.b.sink.reset()
	if hangs {
		// Its requests are not counted: the numbers of events are bits that only answered paths
		// set.
		d.b.sink.at(path(0)).delay.Store(-1)
	}
	if err := d.fill(ctx, "outbox", n, 200, count); err != nil {
		return t, err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return t, err
	}
	t, err = d.awaitOthers(ctx, n, count)
	if err := errors.Join(err, relay.stop()); err != nil {
		return t, err
	}
	_, err = d.conn.Exec(ctx, "TRUNCATE tailpost.delivery")
	return t, err
}

// awaitOthers waits for what all endpoints but the first are to get.
func (d *database) awaitOthers(ctx context.Context, n, count int) (t tally, err error) {
	for i := 1; i < count; i++ {
		one, err := d.b.await(ctx, path(i), n/count)
		if err != nil {
			return t, err
		}
		t.received += one.received
		if t.first == 0 || one.first < t.first {
			t.first = one.first
		}
		t.last = max(t.last, one.last)
	}
	return t, nil
}

// parkedSQL puts n due deliveries into the queue.
const parkedSQL = `
INSERT INTO tailpost.delivery (
    event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, payload, event_created_at, commit_lsn,
    seq, created_at, updated_at
)
SELECT gen_random_uuid(), 'endpoint_0', 'pending', 'failed', 1, now(), 'bench.type_0',
       convert_to(jsonb_build_object('seq', i, 'filler', $2::text, 'sent_at', 0)::text, 'UTF8'), now(), '0/1', i, now(), now()
FROM generate_series(0, $1::bigint - 1) AS i`

// runParked drains 100,000 parked deliveries that are all due, beside the same number from the
// stream.
func runParked(ctx context.Context, b *bench) error {
	n := b.size(100_000)
	d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"))
	if err != nil {
		return err
	}
	stream, err := d.fillAndDrain(ctx, n)
	if err != nil {
		return err
	}
	b.sink.reset()
	if _, err := d.conn.Exec(ctx, parkedSQL, n, filler); err != nil {
		return err
	}
	parked, err := d.drain(ctx, n)
	if err != nil {
		return err
	}
	b.table.add(row{work: "100,000 parked deliveries due at once", unit: "of the stream's rate", target: "0.5", met: atLeast(0.5)},
		reading{tailpost: parked.rate() / stream.rate()})
	b.table.add(row{work: "peak RSS meanwhile", unit: "MiB", target: "flat: 64", met: atMost(64)}, reading{tailpost: parked.memory.peak})
	return d.close(ctx)
}

// runIdle looks at a relay that has nothing to do.
func runIdle(ctx context.Context, b *bench) error {
	d, err := b.newDatabase(ctx, endpoints(1, true, ""))
	if err != nil {
		return err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return err
	}
	// What making the database left to do is done first, or not meanwhile. Postgres' background
	// writer notes the running transactions in the WAL once more, up to 15 seconds after the last
	// change.
	for _, sql := range []string{"ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()", "CHECKPOINT"} {
		if err := b.exec(ctx, sql); err != nil {
			return err
		}
	}
	time.Sleep(16 * time.Second)
	wal, err := d.wal(ctx)
	if err != nil {
		return err
	}
	relayMeter, postgres := startMeter(relay.pid()), startMeter(b.server.PID())
	time.Sleep(time.Duration(b.size(20)) * time.Second)
	relayShare, postgresShare := relayMeter.share(), postgres.share()
	end, err := d.wal(ctx)
	if err != nil {
		return err
	}
	mem, err := memoryOf(relay.pid())
	if err != nil {
		return err
	}
	for _, sql := range []string{"ALTER SYSTEM RESET autovacuum", "SELECT pg_reload_conf()"} {
		if err := b.exec(ctx, sql); err != nil {
			return err
		}
	}
	b.table.add(row{work: "idle: RSS", unit: "MiB", target: "20", met: atMost(20)}, reading{tailpost: mem.resident})
	b.table.add(row{work: "idle: RSS without the binary's own pages", unit: "MiB"}, reading{tailpost: mem.anonymous})
	b.table.add(row{work: "idle: CPU of the relay", unit: "% of a core", target: "0.2", met: atMost(0.2)}, reading{tailpost: 100 * relayShare})
	b.table.add(row{work: "idle: CPU of Postgres", unit: "% of a core", target: "0.2", met: atMost(0.2)}, reading{tailpost: 100 * postgresShare})
	b.table.add(row{work: "idle: WAL written", unit: "bytes", target: "0", met: atMost(0)}, reading{tailpost: float64(end - wal)})
	return errors.Join(relay.stop(), d.close(ctx))
}
