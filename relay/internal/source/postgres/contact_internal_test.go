package postgres

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestContact(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	// The server's clock is an hour and a bit ahead.
	server := func(d time.Duration) time.Time { return start.Add(d + 61*time.Minute) }
	const wire = time.Millisecond

	t.Run("what arrives at once was sent now", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		require.WithinDuration(t, at(10*time.Second), c.observe(at(10*time.Second), server(10*time.Second-wire)), 2*wire)
		require.WithinDuration(t, at(20*time.Second), c.observe(at(20*time.Second), server(20*time.Second-wire)), 2*wire)
	})

	t.Run("what lay in the socket was sent when it was", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		c.observe(at(10*time.Second), server(10*time.Second-wire))
		require.WithinDuration(t, at(12*time.Second), c.observe(at(time.Hour), server(12*time.Second)), 2*wire)
		require.WithinDuration(t, at(13*time.Second), c.observe(at(time.Hour+time.Second), server(13*time.Second)), 2*wire)
	})

	t.Run("clocks that drift apart are forgiven", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		var now time.Duration
		var sent time.Time
		for ; now < 30*24*time.Hour; now += 10 * time.Second {
			sent = c.observe(at(now), server(now-now/10_000)) // 100 ppm slow
		}
		require.WithinDuration(t, at(now), sent, 11*time.Second)
	})

	t.Run("a slow wire says nothing of when it was sent", func(t *testing.T) {
		t.Parallel()
		rnd := rand.New(rand.NewPCG(1, 1))
		c := newContact(start)
		type seen struct{ at, delay time.Duration }
		var all []seen
		for now := time.Second; now < 3*contactWindow; now += time.Duration(rnd.Int64N(int64(contactWindow / 20))) {
			delay := time.Duration(1+rnd.IntN(1000)) * wire
			all = append(all, seen{now, delay})
			sent := c.observe(at(now), server(now-delay))
			least, since := delay, now-contactWindow
			for _, o := range all {
				if o.at >= since {
					least = min(least, o.delay)
				}
			}
			require.False(t, sent.Before(at(now-delay)), "it was not sent before it was")
			require.False(t, sent.After(at(now-delay+least)), "the fastest of the last window tells how far the clocks differ")
		}
	})

	t.Run("a reply proves the latest question that it can have seen", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		c.asked(at(10 * time.Second))
		c.asked(at(20 * time.Second))
		c.asked(at(30 * time.Second))
		c.replied(at(9 * time.Second))
		require.WithinDuration(t, start, c.at(), 0, "it answers nobody")
		c.replied(at(25 * time.Second))
		require.WithinDuration(t, at(20*time.Second), c.at(), 0)
		c.replied(at(26 * time.Second))
		require.WithinDuration(t, at(20*time.Second), c.at(), 0)
		c.replied(at(30 * time.Second))
		require.WithinDuration(t, at(30*time.Second), c.at(), 0)
		require.Empty(t, c.asks)
		c.heard(at(29 * time.Second))
		require.WithinDuration(t, at(30*time.Second), c.at(), 0, "what was said before it proves no more")
	})

	t.Run("what the server sent while this process was stopped proves nothing", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		c.observe(start, server(0))
		c.asked(at(time.Second))
		c.replied(c.observe(at(time.Second), server(time.Second)))
		// Stopped from here on. The server went on for a while; on waking a question is asked
		// first.
		c.asked(at(time.Hour))
		for s := time.Second; s < time.Minute; s += time.Second {
			c.replied(c.observe(at(time.Hour), server(s)))
		}
		require.WithinDuration(t, at(time.Second), c.at(), 0)
	})

	t.Run("questions that nobody reads the answers to are bounded", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		for s := range 10 * maxAsks {
			c.asked(at(time.Duration(s) * time.Second))
		}
		require.Len(t, c.asks, maxAsks)
		c.replied(at(time.Hour))
		require.WithinDuration(t, at(time.Duration(10*maxAsks-1)*time.Second), c.at(), 0)
	})
}
