package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sendersInTurns are the fleets that are compared, there and back again, so that what grows
// meanwhile favours none. 0 is one process without a fan-out.
func sendersInTurns() []int { return []int{0, 1, 2, 4, 4, 2, 1, 0} }

// named says who delivers.
func named(senders int) string {
	switch senders {
	case 0:
		return "one process"
	case 1:
		return "1 sender"
	}
	return fmt.Sprintf("%d senders", senders)
}

// spent is what some drains have taken.
type spent struct {
	events, seconds       float64
	relay, nats, postgres float64 // seconds of CPU
	wal                   float64 // bytes
	batches, parked       int     // recording transactions, and deliveries that had a row before they were made
	duplicates            int
}

func (s *spent) add(o spent) {
	s.events, s.seconds = s.events+o.events, s.seconds+o.seconds
	s.relay, s.nats, s.postgres = s.relay+o.relay, s.nats+o.nats, s.postgres+o.postgres
	s.wal, s.duplicates = s.wal+o.wal, s.duplicates+o.duplicates
}

// inTurns does something with each of the fleets, and adds up what that takes, by their senders.
func inTurns(ctx context.Context, b *bench, do func(n *nats, senders int) (spent, error)) (map[int]*spent, error) {
	sums := make(map[int]*spent)
	return sums, withNATS(ctx, b, func(n *nats) error {
		for _, senders := range sendersInTurns() {
			got, err := do(n, senders)
			if err != nil {
				return fmt.Errorf("%s: %w", named(senders), err)
			}
			if sums[senders] == nil {
				sums[senders] = &spent{}
			}
			sums[senders].add(got)
		}
		return nil
	})
}

// apart is by how much fleets of 1, 2 and 4 senders differ.
func apart(sums map[int]*spent, of func(*spent) float64) float64 {
	one, two, four := of(sums[1]), of(sums[2]), of(sums[4])
	return max(one, two, four) / min(one, two, four)
}

// runFanoutCost drains a backlog by one process and by fleets, all of whose connections stand
// before it begins.
func runFanoutCost(ctx context.Context, b *bench) error {
	sums, err := inTurns(ctx, b, func(n *nats, senders int) (spent, error) {
		return drainTogether(ctx, b, n, senders, b.size(150_000))
	})
	if err != nil {
		return err
	}
	const work = "fleet, drain of 150,000: "
	postgres := func(s *spent) float64 { return 1000 * s.postgres / s.events }
	wal := func(s *spent) float64 { return s.wal / s.events }
	b.table.add(row{work: work + "CPU of Postgres, 1, 2, 4 senders", unit: "most / least", target: "1.05", met: atMost(1.05)}, reading{tailpost: apart(sums, postgres)})
	b.table.add(row{work: work + "WAL, 1, 2, 4 senders", unit: "most / least", target: "1.05", met: atMost(1.05)}, reading{tailpost: apart(sums, wal)})
	duplicates := 0
	for _, senders := range []int{0, 1, 2, 4} {
		s := sums[senders]
		duplicates += s.duplicates
		who := work + named(senders) + ": "
		if senders > 0 {
			b.table.add(row{work: who + "CPU of the processes beside one", unit: "ratio", target: "2.0", met: atMost(2)},
				reading{tailpost: s.relay / s.events / (sums[0].relay / sums[0].events)})
			b.table.add(row{work: who + "CPU of NATS", unit: "s/1000"}, reading{tailpost: 1000 * s.nats / s.events})
		}
		b.table.add(row{work: who + "CPU of the processes", unit: "s/1000"}, reading{tailpost: 1000 * s.relay / s.events})
		b.table.add(row{work: who + "CPU of Postgres", unit: "s/1000"}, reading{tailpost: postgres(s)})
		b.table.add(row{work: who + "WAL", unit: "bytes/event"}, reading{tailpost: wal(s)})
		b.table.add(row{work: who + "rate", unit: "events/s"}, reading{tailpost: s.events / s.seconds})
	}
	b.table.add(row{work: work + "sent twice", unit: "events", target: "0", met: atMost(0)}, reading{tailpost: float64(duplicates)})
	return nil
}

// newFleet makes a database whose slot knows whether it is published, and to how many partitions.
func newFleet(ctx context.Context, b *bench, n *nats, senders int, list []endpoint) (*database, []string, error) {
	var blocks []string
	if senders > 0 {
		blocks = append(blocks, n.fanout())
	}
	d, err := b.newDatabase(ctx, list, blocks...)
	return d, blocks, err
}

// drainTogether drains n events to 64 endpoints, one of which gets each.
func drainTogether(ctx context.Context, b *bench, n *nats, senders, events int) (s spent, err error) {
	const count = 64
	d, _, err := newFleet(ctx, b, n, senders, endpoints(count, false, "concurrency = 16"))
	if err != nil {
		return s, err
	}
	if err := d.fill(ctx, "outbox", events, 200, count); err != nil {
		return s, err
	}
	if err := b.exec(ctx, "CHECKPOINT"); err != nil {
		return s, err
	}
	f, err := startFleet(ctx, d, senders, nil)
	if err != nil {
		return s, err
	}
	if s, err = f.drain(ctx, n, events); err == nil {
		fmt.Fprintf(b.log, "  %s: %.0f events/s, CPU of processes %.2f s, NATS %.2f s, Postgres %.2f s, %.0f bytes of WAL, %d recording transactions, %d parked\n",
			named(senders), s.events/s.seconds, s.relay, s.nats, s.postgres, s.wal, s.batches, s.parked)
	}
	return s, errors.Join(err, f.stop(ctx), d.close(ctx))
}

// drain lets go of the slot, and measures from there until all is recorded.
func (f *fleet) drain(ctx context.Context, n *nats, events int) (s spent, err error) {
	wal, err := f.d.wal(ctx)
	if err != nil {
		return s, err
	}
	relays, server, postgres := f.meters(), startMeter(n.pid()), startMeter(f.d.b.server.PID())
	if err := f.release(ctx); err != nil {
		return s, err
	}
	t, err := f.d.b.await(ctx, "/endpoint", events)
	if err != nil {
		return s, err
	}
	batches, err := f.quiet(ctx)
	if err != nil {
		return s, err
	}
	s = spent{events: float64(events), seconds: float64(t.last-t.first) / 1e9, batches: batches, duplicates: t.duplicates}
	s.relay, s.nats, s.postgres = relays.cpu(), server.cpu(), postgres.cpu()
	end, err := f.d.wal(ctx)
	if err != nil {
		return s, err
	}
	s.wal = float64(end - wal)
	if s.parked, err = f.parked(ctx); err != nil {
		return s, err
	}
	return s, f.settle(ctx, events)
}

// runFanoutScale has a receiver take 50 ms, and each process a way out that takes 64 requests at
// once: a proxy of its own. Tailpost has no bound of a process's requests, so that the bound is
// beside it.
func runFanoutScale(ctx context.Context, b *bench) error {
	const most, delay = 64, 50 * time.Millisecond
	rates := make(map[int]float64)
	err := withNATS(ctx, b, func(n *nats) error {
		for _, senders := range []int{0, 1, 2, 4} {
			rate, err := drainSlowly(ctx, b, n, senders, most, delay)
			if err != nil {
				return fmt.Errorf("%s: %w", named(senders), err)
			}
			rates[senders] = rate
		}
		return nil
	})
	if err != nil {
		return err
	}
	const work = "fleet, receivers take 50 ms, 64 requests a process: "
	for _, senders := range []int{0, 1, 2, 4} {
		b.table.add(row{work: work + named(senders), unit: "events/s"}, reading{tailpost: rates[senders]})
	}
	b.table.add(row{work: work + "2 senders beside 1", unit: "ratio", target: "1.9", met: atLeast(1.9)}, reading{tailpost: rates[2] / rates[1]})
	b.table.add(row{work: work + "4 senders beside 1", unit: "ratio", target: "3.7", met: atLeast(3.7)}, reading{tailpost: rates[4] / rates[1]})
	return nil
}

// drainSlowly returns the rate of a drain while every process is at its bound: in the part of it in
// which none can have come to the end of what is its own.
func drainSlowly(ctx context.Context, b *bench, n *nats, senders, most int, delay time.Duration) (rate float64, err error) {
	const count = 128
	list := endpoints(count, false, "concurrency = 4")
	d, blocks, err := newFleet(ctx, b, n, senders, list)
	if err != nil {
		return 0, err
	}
	d.proxied = true
	if err := d.configure(list, blocks...); err != nil {
		return 0, err
	}
	for i := range count {
		b.sink.at(path(i)).delay.Store(int64(delay))
	}
	events := max(1, senders) * b.size(8) * most * int(time.Second/delay)
	if err := d.fill(ctx, "outbox", events, 200, count); err != nil {
		return 0, err
	}
	gateways := make([]string, max(1, senders))
	for i := range gateways {
		url, shut, err := b.sink.gateway(ctx, most)
		if err != nil {
			return 0, err
		}
		defer func() { _ = shut() }() // nobody is behind it any more
		gateways[i] = "PROXY=" + url
	}
	f, err := startFleet(ctx, d, senders, func(i int) string { return gateways[i] })
	if err != nil {
		return 0, err
	}
	rate, err = f.drainPart(ctx, events)
	return rate, errors.Join(err, f.stop(ctx), d.close(ctx))
}

// drainPart lets go of the slot and returns the rate from a fifth to three fifths of all events.
func (f *fleet) drainPart(ctx context.Context, events int) (float64, error) {
	postgres := startMeter(f.d.b.server.PID())
	if err := f.release(ctx); err != nil {
		return 0, err
	}
	from, err := f.d.b.await(ctx, "/endpoint", events/5)
	if err != nil {
		return 0, err
	}
	to, err := f.d.b.await(ctx, "/endpoint", events*3/5)
	if err != nil {
		return 0, err
	}
	rate := float64(to.received-from.received) / (float64(to.last-from.last) / 1e9)
	all, err := f.d.b.await(ctx, "/endpoint", events)
	if err != nil {
		return 0, err
	}
	cpu := postgres.cpu()
	if err := f.settle(ctx, events); err != nil {
		return 0, err
	}
	parked, err := f.parked(ctx)
	fmt.Fprintf(f.d.b.log, "  of %d: %.0f events/s, %.0f over all, %d of %d parked, %d sent twice, Postgres %.2f s of CPU\n",
		len(f.members), rate, all.rate(), parked, events, all.duplicates, cpu)
	return rate, err
}
