package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// runFanoutDelay writes events one by one, for one process and for a fleet of two.
func runFanoutDelay(ctx context.Context, b *bench) error {
	const perSecond = 200
	latencies := make(map[int][]float64)
	err := withNATS(ctx, b, func(n *nats) error {
		for _, senders := range []int{0, 2, 2, 0} {
			got, err := writeTogether(ctx, b, n, senders, perSecond)
			if err != nil {
				return fmt.Errorf("%s: %w", named(senders), err)
			}
			latencies[senders] = append(latencies[senders], got...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	const work = "fleet, insert to receipt at 200/s: "
	for _, q := range []struct {
		name string
		of   float64
		more row
	}{
		{"p50", 0.5, row{target: "1.5", met: atMost(1.5)}},
		{"p99", 0.99, row{}},
	} {
		one, two := quantile(latencies[0], q.of), quantile(latencies[2], q.of)
		more := q.more
		more.work, more.unit = work+q.name+", 2 senders above one process", "ms"
		b.table.add(more, reading{tailpost: two - one})
		b.table.add(row{work: work + q.name + ", 2 senders", unit: "ms"}, reading{tailpost: two})
		b.table.add(row{work: work + q.name + ", one process", unit: "ms"}, reading{tailpost: one})
	}
	return nil
}

// runFanoutSteady writes events at a rate that leaves the machine idle at times, for fleets and for
// one process: each has the same to do in the same time, so that what Postgres spends can be
// compared.
func runFanoutSteady(ctx context.Context, b *bench) error {
	const perSecond = 2000
	sums, err := inTurns(ctx, b, func(n *nats, senders int) (spent, error) {
		return writeSteadily(ctx, b, n, senders, perSecond)
	})
	if err != nil {
		return err
	}
	const work = "fleet, 2,000/s to 64 endpoints: "
	postgres := func(s *spent) float64 { return 1000 * s.postgres / s.events }
	b.table.add(row{work: work + "CPU of Postgres, 1, 2, 4 senders", unit: "most / least", target: "1.05", met: atMost(1.05)}, reading{tailpost: apart(sums, postgres)})
	for _, senders := range []int{0, 1, 2, 4} {
		s := sums[senders]
		b.table.add(row{work: work + named(senders) + ": CPU of Postgres, writer's included", unit: "s/1000"}, reading{tailpost: postgres(s)})
		b.table.add(row{work: work + named(senders) + ": CPU of the processes", unit: "s/1000"}, reading{tailpost: 1000 * s.relay / s.events})
	}
	return nil
}

// writeSteadily returns what is spent on events that are written 20 at a time.
func writeSteadily(ctx context.Context, b *bench, n *nats, senders, perSecond int) (s spent, err error) {
	const count = 64
	d, _, err := newFleet(ctx, b, n, senders, endpoints(count, false, "concurrency = 16"))
	if err != nil {
		return s, err
	}
	f, err := startReading(ctx, d, senders)
	if err != nil {
		return s, err
	}
	const together = 20
	events := perSecond * b.size(10)
	relays, postgres := f.meters(), startMeter(b.server.PID())
	began := time.Now()
	for i := 0; i < events && err == nil; i += together {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		_, err = d.conn.Exec(ctx, "CALL fill('outbox', $1, $2, $2, $3, $4)", i, together, count, filler)
	}
	if err == nil {
		_, err = b.await(ctx, "/endpoint", events)
	}
	if err == nil {
		s = spent{events: float64(events), relay: relays.cpu(), postgres: postgres.cpu()}
		err = f.settle(ctx, events)
	}
	if err == nil {
		s.batches, err = f.quiet(ctx)
	}
	fmt.Fprintf(b.log, "  %s: CPU of processes %.2f s, Postgres %.2f s, %d recording transactions\n", named(senders), s.relay, s.postgres, s.batches)
	return s, errors.Join(err, f.stop(ctx), d.close(ctx))
}

// writeTogether returns the latencies of events that are written one by one.
func writeTogether(ctx context.Context, b *bench, n *nats, senders, perSecond int) ([]float64, error) {
	d, _, err := newFleet(ctx, b, n, senders, endpoints(1, true, "concurrency = 64"))
	if err != nil {
		return nil, err
	}
	f, err := startReading(ctx, d, senders)
	if err != nil {
		return nil, err
	}
	events := perSecond * b.size(10)
	latencies, err := write(ctx, d, "outbox", events, perSecond, "/endpoint", nil)
	if err == nil {
		err = f.settle(ctx, events)
	}
	fmt.Fprintf(b.log, "  %s: p50 %.2f ms, p99 %.2f ms\n", named(senders), quantile(latencies, 0.5), quantile(latencies, 0.99))
	return latencies, errors.Join(err, f.stop(ctx), d.close(ctx))
}

// startReading is startFleet with the slot taken by one of the members.
func startReading(ctx context.Context, d *database, senders int) (*fleet, error) {
	f, err := startFleet(ctx, d, senders, nil)
	if err != nil {
		return nil, err
	}
	if err = f.release(ctx); err == nil {
		_, err = f.reader(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, f.stop(ctx))
	}
	return f, nil
}

// runFanoutTakeover has senders of four fail that do not have the slot: one is killed, then one is
// frozen, so that only its silence tells of it. Each endpoint gets every event meanwhile.
func runFanoutTakeover(ctx context.Context, b *bench) error {
	const count, perSecond, phase = 32, 20, 8 * time.Second
	return withNATS(ctx, b, func(n *nats) error {
		d, _, err := newFleet(ctx, b, n, 4, endpoints(count, true, ""))
		if err != nil {
			return err
		}
		f, err := startReading(ctx, d, 4)
		if err != nil {
			return err
		}
		events := int((3 * phase).Seconds()) * perSecond
		silent, err := f.failWhile(ctx, phase, func(ctx context.Context) error {
			_, err := write(ctx, d, "outbox", events, perSecond, "/endpoint", nil)
			return err
		})
		if err == nil {
			err = f.settle(ctx, count*events)
		}
		if err != nil {
			return errors.Join(err, f.stop(ctx))
		}
		const work = "fleet of 4, longest silence of an endpoint: "
		b.table.add(row{work: work + "nothing fails", unit: "s"}, reading{tailpost: silent[0].Seconds()})
		b.table.add(row{work: work + "a sender is killed", unit: "s", target: "TTL + 1: 6", met: atMost(6)}, reading{tailpost: silent[1].Seconds()})
		b.table.add(row{work: work + "a sender is frozen", unit: "s", target: "TTL + 1: 6", met: atMost(6)}, reading{tailpost: silent[2].Seconds()})
		b.table.add(row{work: "fleet of 4, both: sent twice", unit: "of " + grouped(count*events)},
			reading{tailpost: float64(b.sink.tally("/endpoint").duplicates)})
		return errors.Join(f.stop(ctx), d.close(ctx))
	})
}

// failWhile does something for three phases: nothing fails in the first, a member is killed at the
// beginning of the second, and another one frozen at that of the third. It returns the longest
// silence of an endpoint in each.
func (f *fleet) failWhile(ctx context.Context, phase time.Duration, do func(context.Context) error) (silent [3]time.Duration, err error) {
	reader, err := f.reader(ctx)
	if err != nil {
		return silent, err
	}
	victims := slices.DeleteFunc(slices.Clone(f.members), func(p *process) bool { return p == reader })
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return do(ctx) })
	group.Go(func() error {
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		for i, fault := range []syscall.Signal{0, syscall.SIGKILL, syscall.SIGSTOP} {
			f.d.b.sink.hush()
			if err := victims[i].cmd.Process.Signal(fault); err != nil {
				return fmt.Errorf("have a sender fail: %w", err)
			}
			if err := sleep(ctx, phase-time.Second); err != nil {
				return err
			}
			silent[i] = f.d.b.sink.silence()
		}
		return nil
	})
	err = group.Wait()
	for _, p := range victims[1:] {
		err = errors.Join(err, f.lose(p))
	}
	return silent, err
}

// runFanoutRate has a fleet of four send to an endpoint with a rate.
func runFanoutRate(ctx context.Context, b *bench) error {
	const perSecond, window = 100, 10 * time.Second
	events := perSecond * (b.size(10) + 15)
	return withNATS(ctx, b, func(n *nats) error {
		d, _, err := newFleet(ctx, b, n, 4, endpoints(1, true, fmt.Sprintf("rate = \"%d/s\"", perSecond)))
		if err != nil {
			return err
		}
		b.sink.at(path(0)).temper.Store(&temper{}) // it keeps a history
		f, err := startReading(ctx, d, 4)
		if err != nil {
			return err
		}
		if err = d.fill(ctx, "outbox", events, 200, 1); err == nil {
			_, err = b.await(ctx, "/endpoint", events)
		}
		if err == nil {
			err = f.settle(ctx, events)
		}
		if err != nil {
			return errors.Join(err, f.stop(ctx))
		}
		least, highest := extremes(b.sink.at(path(0)).past().taken, window)
		const work = "fleet of 4, an endpoint of 100/s, any 10 s: "
		b.table.add(row{work: work + "least", unit: "events/s", target: "99", met: atLeast(99)}, reading{tailpost: least})
		b.table.add(row{work: work + "most", unit: "events/s", target: "101", met: atMost(101)}, reading{tailpost: highest})
		return errors.Join(f.stop(ctx), d.close(ctx))
	})
}
