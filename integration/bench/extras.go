package main

import (
	"context"
	"fmt"
)

// extra is what an attempt's row may have beside what all have, as blocks of the configuration.
type extra struct{ name, hcl string }

func extras() []extra {
	return []extra{
		{"headers kept", "attempts { headers = true }\n"},
		{"search by one value", "outbox { search = { n = event.data.seq } }\n"},
		{"search by four values", "outbox { search = { n = event.data.seq, id = event.id, s = \"${event.data.seq}/s\", t = \"t-${event.data.seq}\" } }\n"},
	}
}

// runExtras drains with each of them and without, and prints what it costs. A plain drain stands
// before each and after it, so that what grows meanwhile favours neither.
func runExtras(ctx context.Context, b *bench) error {
	n := b.size(50_000)
	for _, x := range extras() {
		d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"))
		if err != nil {
			return err
		}
		var plain, with drained
		for _, more := range []string{"", x.hcl, x.hcl, ""} {
			r, err := drainWith(ctx, d, n, more)
			if err != nil {
				return err
			}
			sum := &plain
			if more != "" {
				sum = &with
			}
			sum.received += r.received
			sum.last += r.last - r.first
			sum.relayCPU, sum.postgresCPU, sum.walBytes = sum.relayCPU+r.relayCPU, sum.postgresCPU+r.postgresCPU, sum.walBytes+r.walBytes
		}
		per := func(a, b float64) float64 { return (a - b) / float64(2*n) }
		b.table.add(row{work: x.name + ": events/s", unit: "of the rate without"}, reading{tailpost: float64(plain.last) / float64(with.last)})
		b.table.add(row{work: x.name + ": CPU of the relay and Postgres", unit: "µs more/event"},
			reading{tailpost: 1e6 * per(with.relayCPU+with.postgresCPU, plain.relayCPU+plain.postgresCPU)})
		b.table.add(row{work: x.name + ": WAL", unit: "bytes more/event"},
			reading{tailpost: per(float64(with.walBytes), float64(plain.walBytes))})
		if err := d.close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// drainWith drains n events under further blocks.
func drainWith(ctx context.Context, d *database, n int, more string) (drained, error) {
	if err := d.configure(endpoints(1, true, "concurrency = 64"), more); err != nil {
		return drained{}, err
	}
	d.b.sink.reset()
	if _, err := d.conn.Exec(ctx, "TRUNCATE outbox; CHECKPOINT"); err != nil {
		return drained{}, fmt.Errorf("empty the outbox: %w", err)
	}
	if err := d.fill(ctx, "outbox", n, 200, 1); err != nil {
		return drained{}, err
	}
	return d.drain(ctx, n)
}
