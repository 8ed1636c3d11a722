package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// long is how long the drains of a million take at most.
const long = 20 * time.Minute

// runDead drains to 20 endpoints, of which one answers 500 and has a million deliveries parked, and
// to the others alone. Then it is well again.
func runDead(ctx context.Context, b *bench) error {
	const count = 20
	n, parked := b.size(60_000), b.size(1_000_000)
	d, err := b.newDatabase(ctx, endpoints(count, false, "concurrency = 64\n  circuit {\n    failures = 5\n    reopen   = \"2s\"\n  }"))
	if err != nil {
		return err
	}
	seconds := make(map[bool]float64)
	for i, dead := range []bool{false, true, true} {
		if i == 1 {
			if _, err := d.conn.Exec(ctx, parkedSQL, parked, filler); err != nil {
				return fmt.Errorf("park deliveries: %w", err)
			}
		}
		t, err := drainBeside(ctx, d, n, count, dead)
		if err != nil {
			return err
		}
		seconds[dead] += float64(t.received) / t.rate()
	}
	b.table.add(row{work: "1,000,000 parked for 1 of 20 endpoints, which is dead: the others", unit: "of their rate", target: "0.95", met: atLeast(0.95)},
		reading{tailpost: 2 * seconds[false] / seconds[true]})
	// What was tried while it was dead waits minutes for its next attempt: a person has it resent.
	for _, sql := range []string{
		"DELETE FROM tailpost.delivery WHERE endpoint_id <> 'endpoint_0'",
		"UPDATE tailpost.delivery SET next_attempt_at = now() WHERE next_attempt_at > now()",
	} {
		if _, err := d.conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	b.sink.reset()
	r, err := drainParked(ctx, d, parked)
	if err != nil {
		return err
	}
	b.sink.reset()
	stream, err := d.fillAndDrain(ctx, n)
	if err != nil {
		return err
	}
	b.table.add(row{work: "the same, once it is well: drained", unit: "of the stream's rate", target: "0.5", met: atLeast(0.5)},
		reading{tailpost: r.rate() / stream.rate()})
	b.table.add(row{work: "the same, once it is well: peak RSS", unit: "MiB", target: "flat: 64", met: atMost(64)}, reading{tailpost: r.memory.peak})
	return d.close(ctx)
}

// drainBeside drains n events to count endpoints, of which the first one may be dead, and looks at
// the others.
func drainBeside(ctx context.Context, d *database, n, count int, dead bool) (t tally, err error) {
	d.b.sink.reset()
	if dead {
		d.b.sink.at(path(0)).temper.Store(&temper{status: http.StatusInternalServerError, share: 1})
	}
	if err := d.fill(ctx, "outbox", n, 200, count); err != nil {
		return t, err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return t, err
	}
	t, err = d.awaitOthers(ctx, n, count)
	return t, errors.Join(err, relay.stop())
}

// drainParked starts the relay on what is parked and waits until n of it have arrived.
func drainParked(ctx context.Context, d *database, n int) (r drained, err error) {
	relay, err := d.startRelay(ctx)
	if err != nil {
		return r, err
	}
	if r.tally, err = d.b.awaitFor(ctx, "/endpoint", n, long); err != nil {
		return r, errors.Join(err, relay.stop())
	}
	r.relayCPU = cpuSeconds(relay.pid())
	r.memory, err = memoryOf(relay.pid())
	fmt.Fprintf(d.b.log, "  %.0f events/s, start %s, relay %.2f s of CPU, peak RSS %.1f MiB\n", r.rate(), relay.startup, r.relayCPU, r.memory.peak)
	return r, errors.Join(err, relay.stop())
}

// runKeys drains a million parked deliveries to an endpoint with an order, each of a key of its
// own, beside the same number to one without.
func runKeys(ctx context.Context, b *bench) error {
	n := b.size(1_000_000)
	var got [2]drained
	for i, hcl := range []string{"concurrency = 64", "concurrency = 64\n  ordering = \"key\""} {
		d, err := b.newDatabase(ctx, endpoints(1, true, hcl))
		if err != nil {
			return err
		}
		if _, err := d.conn.Exec(ctx, parkedSQL, n, filler); err != nil {
			return fmt.Errorf("park deliveries: %w", err)
		}
		if _, err := d.conn.Exec(ctx, "UPDATE tailpost.delivery SET key = 'key_' || seq"); err != nil {
			return fmt.Errorf("park deliveries: %w", err)
		}
		if _, err := d.conn.Exec(ctx, "VACUUM (ANALYZE) tailpost.delivery"); err != nil {
			return fmt.Errorf("park deliveries: %w", err)
		}
		b.sink.reset()
		if got[i], err = drainParked(ctx, d, n); err != nil {
			return err
		}
		if err := d.close(ctx); err != nil {
			return err
		}
	}
	b.table.add(row{work: "1,000,000 parked keys of an endpoint with an order", unit: "of the rate without", target: "0.5", met: atLeast(0.5)},
		reading{tailpost: got[1].rate() / got[0].rate()})
	b.table.add(row{work: "1,000,000 parked keys: drained", unit: "events/s"}, reading{tailpost: got[1].rate()})
	b.table.add(row{work: "1,000,000 parked keys: peak RSS", unit: "MiB", target: "flat: 64", met: atMost(64)}, reading{tailpost: got[1].memory.peak})
	return nil
}
