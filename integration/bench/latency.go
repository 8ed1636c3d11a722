package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// runLatency writes events one by one at a rate and measures from just before each INSERT to the
// receiver. The limit is the dual write: the writer itself posts right after its commit.
func runLatency(ctx context.Context, b *bench, perSecond int) error {
	d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"))
	if err != nil {
		return err
	}
	n := perSecond * b.size(10)
	p, err := newPoster(8, false)
	if err != nil {
		return err
	}
	limit, err := write(ctx, d, "outbox_unused", n, perSecond, "/limit", func(seq, sentAt int64) error {
		_, err := p.post(ctx, b.sink.url+"/limit", "evt_"+strconv.FormatInt(seq, 10), payload(seq, sentAt))
		return err
	})
	if err != nil {
		return err
	}

	poller, err := d.startPoller(ctx, 64)
	if err != nil {
		return err
	}
	polled, err := write(ctx, d, "polled", n, perSecond, "/poller", nil)
	if err := errors.Join(err, poller.stop()); err != nil {
		return err
	}

	relay, err := d.startRelay(ctx)
	if err != nil {
		return err
	}
	meter, postgres := startMeter(relay.pid()), startMeter(b.server.PID())
	tailpost, err := write(ctx, d, "outbox", n, perSecond, "/endpoint", nil)
	cpu, postgresCPU := meter.cpu(), postgres.cpu()
	if err := errors.Join(err, relay.stop()); err != nil {
		return err
	}

	at := fmt.Sprintf("insert to receipt at %d/s: ", perSecond)
	read := func(q float64) reading {
		return reading{quantile(limit, q), quantile(polled, q), quantile(tailpost, q)}
	}
	b.table.add(row{work: at + "p50", unit: "ms", target: "0.9, poller / 5", met: both(atMost(0.9), func(s summary) bool { return s.ofPoller <= 0.2 })}, read(0.5))
	b.table.add(row{work: at + "p99", unit: "ms", target: "5", met: atMost(5)}, read(0.99))
	b.table.add(row{work: at + "relay CPU", unit: "s/1000"}, reading{tailpost: cpu / float64(n) * 1000})
	b.table.add(row{work: at + "Postgres CPU, writer's included", unit: "s/1000"}, reading{tailpost: postgresCPU / float64(n) * 1000})
	return d.close(ctx)
}

// write inserts n events one by one at a rate, from four connections, does what follows each
// commit, and returns the latencies that the receiver saw at the path. A slow database does not
// slow the schedule down: waiting counts.
func write(ctx context.Context, d *database, table string, n, perSecond int, path string, then func(seq, sentAt int64) error) ([]float64, error) {
	const writers = 4
	if _, err := d.conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS outbox_unused (LIKE outbox INCLUDING ALL)"); err != nil {
		return nil, err
	}
	type event struct{ seq, due int64 }
	events := make(chan event, n)
	group, ctx := errgroup.WithContext(ctx)
	for range writers {
		conn, err := pgx.Connect(ctx, d.url)
		if err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			defer conn.Close(context.WithoutCancel(ctx))
			for e := range events {
				_, err := conn.Exec(ctx, "INSERT INTO "+table+" (type, payload) VALUES ($1, $2)", eventType(0), payload(e.seq, e.due))
				if err == nil && then != nil {
					err = then(e.seq, e.due)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	pause := time.Second / time.Duration(perSecond)
	began := time.Now().Add(100 * time.Millisecond)
	for i := range n {
		due := began.Add(time.Duration(i) * pause)
		time.Sleep(time.Until(due))
		events <- event{seq: int64(i), due: time.Now().UnixNano()}
	}
	close(events)
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("write events: %w", err)
	}
	t, err := d.b.await(context.WithoutCancel(ctx), path, n) // the group's context has ended with the group
	if err != nil {
		return nil, err
	}
	slices.Sort(t.latencies)
	return t.latencies, nil
}
