package walstream

import (
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

	t.Run("what arrives at once counts now", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		c.observe(at(10*time.Second), server(10*time.Second-wire))
		require.WithinDuration(t, at(10*time.Second), c.at(), 2*wire)
		c.observe(at(20*time.Second), server(20*time.Second-wire))
		require.WithinDuration(t, at(20*time.Second), c.at(), 2*wire)
	})

	t.Run("what lay in the socket counts when it was sent", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		c.observe(at(10*time.Second), server(10*time.Second-wire))
		c.observe(at(time.Hour), server(12*time.Second))
		require.WithinDuration(t, at(12*time.Second), c.at(), 2*wire)
		c.observe(at(time.Hour+time.Second), server(13*time.Second))
		require.WithinDuration(t, at(13*time.Second), c.at(), 2*wire)
	})

	t.Run("never goes back", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		c.heard(at(30 * time.Second))
		c.observe(at(31*time.Second), server(31*time.Second))
		c.observe(at(40*time.Second), server(5*time.Second))
		require.WithinDuration(t, at(31*time.Second), c.at(), 2*wire)
	})

	t.Run("clocks that drift apart are forgiven", func(t *testing.T) {
		t.Parallel()
		c := newContact(start)
		var now time.Duration
		for ; now < 30*24*time.Hour; now += 10 * time.Second {
			c.observe(at(now), server(now-now/10_000)) // 100 ppm slow
		}
		require.WithinDuration(t, at(now), c.at(), 11*time.Second)
	})
}
