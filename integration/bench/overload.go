package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// quickRetries has what was refused tried again while a case still runs.
const quickRetries = "\n  retry {\n    schedule = [\"1s\", \"1s\", \"2s\", \"2s\", \"5s\", \"5s\", \"10s\", \"10s\", \"10s\", \"10s\", \"10s\", \"10s\"]\n  }"

var (
	broken     = temper{status: http.StatusInternalServerError}
	overloaded = temper{status: http.StatusServiceUnavailable}
	asking     = temper{status: http.StatusTooManyRequests, retryAfter: "1"}
)

func (t temper) withShare(share float64) temper { t.share = share; return t }

func (t temper) withCapacity(perSecond float64) temper { t.capacity = perSecond; return t }

// runRefusing drains to a receiver that refuses some requests at any load. Refusals that mean
// overload are compared with those that do not; each kind is taken twice, in an order that favours
// none.
func runRefusing(ctx context.Context, b *bench) error {
	n := b.size(30_000)
	d, err := b.newDatabase(ctx, endpoints(1, true, "concurrency = 64"+quickRetries))
	if err != nil {
		return err
	}
	rates := func(list ...temper) (map[temper]float64, error) {
		seconds := make(map[temper]float64)
		for range 2 {
			for i := range list {
				t := list[i]
				s, err := drainRefusing(ctx, d, n, t)
				if err != nil {
					return nil, err
				}
				seconds[t] += s
			}
			for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
				list[i], list[j] = list[j], list[i]
			}
		}
		for t, s := range seconds {
			seconds[t] = 2 * float64(n) * firstOf(t) / s
		}
		return seconds, nil
	}
	for _, c := range []struct {
		work   string
		share  float64
		signal temper
		target float64
	}{
		{"503 to 1 % of requests", 0.01, overloaded, 0.8},
		{"503 to 10 % of requests", 0.1, overloaded, 0.6},
		{"429 that asks for 1 s to 10 % of requests", 0.1, asking, 0.6},
	} {
		base, signal := broken.withShare(c.share), c.signal.withShare(c.share)
		got, err := rates(base, signal)
		if err != nil {
			return err
		}
		b.table.add(row{work: c.work, unit: "of the rate with 500s", target: fmt.Sprint(c.target), met: atLeast(c.target)},
			reading{tailpost: got[signal] / got[base]})
		b.table.add(row{work: c.work + ": taken", unit: "events/s"}, reading{tailpost: got[signal]})
	}
	return d.close(ctx)
}

// firstOf is the part of the events that a receiver takes well before the last retry.
func firstOf(t temper) float64 { return 1 - 1.5*t.share - 0.02 }

// drainRefusing drains n events, which take 2 ms each, and returns in how many seconds most of them
// were taken.
func drainRefusing(ctx context.Context, d *database, n int, t temper) (float64, error) {
	d.b.sink.reset()
	in := d.b.sink.at(path(0))
	in.delay.Store(int64(2 * time.Millisecond))
	in.temper.Store(&t)
	if err := d.fill(ctx, "outbox", n, 200, 1); err != nil {
		return 0, err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return 0, err
	}
	seconds := 0.0
	if _, err = d.b.await(ctx, path(0), int(float64(n)*firstOf(t))); err == nil {
		seconds = float64(time.Now().UnixNano()-in.first.Load()) / 1e9
		fmt.Fprintf(d.b.log, "  %d to %g: %.2f s\n", t.status, t.share, seconds)
		_, err = d.b.await(ctx, path(0), n)
	}
	return seconds, errors.Join(err, relay.stop())
}

// runCapacity drains to a receiver that takes so many requests a second and refuses all others.
func runCapacity(ctx context.Context, b *bench) error {
	const capacity = 1000
	length := time.Duration(b.size(20)+2) * time.Second
	for _, c := range []struct {
		work string
		t    temper
	}{
		{"a receiver of 1,000/s that answers 503", overloaded},
		{"a receiver of 1,000/s that answers 429 and asks for 1 s", asking},
	} {
		t := c.t.withCapacity(capacity)
		h, err := press(ctx, b, int(1.3*capacity*length.Seconds()), "concurrency = 64", 2*time.Millisecond, &t, func(context.Context, *inbox) error {
			return sleep(ctx, length)
		})
		if err != nil {
			return err
		}
		// The first seconds are for finding out.
		b.table.add(row{work: c.work + ": taken", unit: "of what it can take", target: "0.6", met: atLeast(0.6)},
			reading{tailpost: perSecond(h.taken, 2*time.Second, length) / capacity})
		b.table.add(row{work: c.work + ": sent in its busiest second", unit: "of what it can take", target: "2", met: atMost(2)},
			reading{tailpost: most(h.arrived) / capacity})
	}
	return nil
}

// runOutage drains to a receiver that takes 20 ms, refuses everything for a while, and then is well
// again.
func runOutage(ctx context.Context, b *bench) error {
	const concurrency, latency, settles = 32, 20 * time.Millisecond, 5 * time.Second
	outage, after := time.Duration(b.size(30))*time.Second, 20*time.Second
	n := int((settles + after).Seconds() * concurrency / latency.Seconds())
	for _, c := range []struct {
		work string
		t    temper
	}{
		{"30 s of nothing but 503", overloaded},
		{"30 s of nothing but 429 that asks for 1 s", asking},
	} {
		var from, to time.Duration
		h, err := press(ctx, b, n, fmt.Sprintf("concurrency = %d", concurrency), latency, &temper{}, func(ctx context.Context, in *inbox) error {
			err := sleep(ctx, settles)
			out := c.t.withShare(1)
			in.temper.Store(&out)
			from = time.Since(in.past().began)
			err = errors.Join(err, sleep(ctx, outage))
			in.temper.Store(&temper{})
			to = time.Since(in.past().began)
			return errors.Join(err, sleep(ctx, after))
		})
		if err != nil {
			return err
		}
		full := perSecond(h.taken, 2*time.Second, from.Truncate(historyStep))
		back, ok := reaches(h.taken, to, 0.9*full)
		if !ok {
			back = after // it was not back
		}
		b.table.add(row{work: c.work + ": back at 0.9 of its rate", unit: "s after it", target: "10", met: atMost(10)},
			reading{tailpost: back.Seconds()})
		b.table.add(row{work: c.work + ": sent meanwhile", unit: "requests/s"},
			reading{tailpost: perSecond(h.arrived, from+time.Second, to)})
		b.table.add(row{work: c.work + ": busiest second", unit: "of what it can take", target: "2", met: atMost(2)},
			reading{tailpost: most(h.arrived) * latency.Seconds() / concurrency})
	}
	return nil
}

// press runs the relay on a backlog, for as long as during takes, and returns what the receiver
// saw.
func press(ctx context.Context, b *bench, n int, hcl string, latency time.Duration, t *temper, during func(context.Context, *inbox) error) (history, error) {
	d, err := b.newDatabase(ctx, endpoints(1, true, hcl+quickRetries))
	if err != nil {
		return history{}, err
	}
	in := b.sink.at(path(0))
	in.delay.Store(int64(latency))
	in.temper.Store(t)
	if err := d.fill(ctx, "outbox", n, 200, 1); err != nil {
		return history{}, err
	}
	relay, err := d.startRelay(ctx)
	if err != nil {
		return history{}, err
	}
	if _, err = b.await(ctx, path(0), 1); err == nil {
		err = during(ctx, in)
	}
	h := in.past()
	if err == nil && int(in.received.Load()) >= n {
		err = fmt.Errorf("%d events were too few for the time", n)
	}
	fmt.Fprintf(b.log, "  sent %v\n  taken %v\n", h.arrived, h.taken)
	return h, errors.Join(err, relay.stop(), d.close(ctx))
}

// sleep waits, or returns why not.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
