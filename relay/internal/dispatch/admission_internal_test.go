package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/retry"
)

const trip = 10 * time.Millisecond

// drive sends through an admission for a while, as many at once as it admits, and has each request
// answered after trip.
func drive(a *admission, now time.Time, d time.Duration, answer func(i int) reply) (sent int, end time.Time) {
	type request struct{ started time.Time }
	var flying []request
	i := 0
	for end = now.Add(d); now.Before(end); now = now.Add(time.Millisecond) {
		for len(flying) > 0 && now.Sub(flying[0].started) >= trip {
			r := answer(i)
			r.started = flying[0].started
			flying = flying[1:]
			i++
			a.answered(r, now)
		}
		for len(flying) < a.width() && a.waits(now) == 0 {
			a.started(now)
			flying = append(flying, request{started: now})
			sent++
		}
	}
	return sent, end
}

func taken(int) reply        { return reply{} }
func refusedReply(int) reply { return reply{refused: true} }

func TestAdmission_isWholeWhileAllIsWell(t *testing.T) {
	t.Parallel()
	a := &admission{ceiling: 32}
	sent, now := drive(a, noon, 10*time.Second, taken)
	require.InDelta(t, 32000, sent, 100)
	require.Equal(t, 32, a.width())
	// A refusal now and then says nothing.
	_, now = drive(a, now, 10*time.Second, func(i int) reply { return reply{refused: i%50 == 0} })
	require.Zero(t, a.limit)
	require.Zero(t, a.waits(now))
}

func TestAdmission_fallsAndComesBack(t *testing.T) {
	t.Parallel()
	a := &admission{ceiling: 32}
	_, now := drive(a, noon, time.Second, taken)
	sent, now := drive(a, now, 30*time.Second, refusedReply)
	require.Less(t, sent, 1000, "of 96,000")
	require.Equal(t, 1, a.width())
	require.Positive(t, a.limit)
	require.LessOrEqual(t, a.waits(now), 5*time.Second, "it is noticed soon that it is well")
	_, now = drive(a, now, 9*time.Second, taken)
	sent, _ = drive(a, now, time.Second, taken)
	require.Greater(t, sent, 2880, "0.9 of all")
}

// An endpoint that takes far more than it once did soon gets it: the steps beyond where refusals
// began grow.
func TestAdmission_growsFarBeyondWhereRefusalsBegan(t *testing.T) {
	t.Parallel()
	a := &admission{ceiling: 32, roundTrip: trip, limit: 50, edge: 100}
	_, now := drive(a, noon, 9*time.Second, taken)
	sent, _ := drive(a, now, time.Second, taken)
	require.Greater(t, sent, 2880, "0.9 of all")
}

// TestAdmission_decidesOnceInARoundTrip: what was under way when the limit fell was sent under
// another one.
func TestAdmission_decidesOnceInARoundTrip(t *testing.T) {
	t.Parallel()
	a := &admission{ceiling: 500, roundTrip: trip}
	a.begin(after(-time.Second))
	for range 400 {
		a.started(noon)
	}
	at := noon.Add(2 * trip)
	for i := range mostAnswers {
		a.answered(reply{started: noon, refused: i%2 == 0}, at)
	}
	limit := a.limit
	require.Positive(t, limit)
	for range 350 {
		a.answered(reply{started: noon, refused: true}, at.Add(time.Second))
	}
	require.InDelta(t, limit, a.limit, 0)
}

func asks(started time.Duration) reply {
	return reply{started: after(started), refused: true, asks: time.Minute}
}

func TestAdmission_doesWhatAReceiverInsistsOn(t *testing.T) {
	t.Parallel()
	fresh := func() *admission {
		a := &admission{ceiling: 32, roundTrip: trip}
		a.begin(noon)
		return a
	}
	a := fresh()
	require.False(t, a.answered(asks(0), after(time.Second)), "once is for that delivery")
	require.False(t, a.answered(asks(0), after(2*time.Second)), "this one was under way when it said so")
	require.True(t, a.answered(asks(3*time.Second), after(4*time.Second)), "twice is for all")
	require.Equal(t, after(64*time.Second), a.pausedUntil)
	require.Equal(t, 60*time.Second, a.waits(after(4*time.Second)))
	require.InDelta(t, restartLimit, a.limit, 0, "it begins slowly after that")
	require.True(t, a.answered(asks(65*time.Second), after(66*time.Second)), "and again, after the pause")

	a = fresh()
	a.answered(asks(0), after(time.Second))
	a.answered(reply{started: after(0)}, after(2*time.Second))
	require.False(t, a.answered(asks(3*time.Second), after(4*time.Second)), "it took something in between")

	a = fresh()
	a.answered(asks(0), after(time.Second))
	require.False(t, a.answered(asks(time.Second), after(time.Second+5*time.Millisecond)), "it had no time to take anything")

	a = fresh()
	a.roundTrip = time.Second
	a.answered(asks(0), after(time.Second))
	require.False(t, a.answered(asks(time.Second), after(2*time.Second)), "nor had one whose answers take that long")
	require.True(t, a.answered(asks(2*time.Second), after(3*time.Second)))

	a = fresh()
	a.answered(reply{started: after(0), refused: true}, after(time.Second))
	require.False(t, a.answered(reply{started: after(2 * time.Second), refused: true}, after(3*time.Second)), "it asked for nothing")
	require.Zero(t, a.pausedUntil)
}

func TestAdmission_doesWhatMostAnswersAskFor(t *testing.T) {
	t.Parallel()
	for asking, paused := range map[int]bool{mostAnswers / 4: false, mostAnswers * 3 / 4: true, mostAnswers: true} {
		a := &admission{ceiling: 500, roundTrip: trip}
		a.begin(after(-time.Second))
		got := false
		for i := range mostAnswers {
			r := reply{started: noon, refused: i < asking}
			if r.refused {
				r.asks = time.Duration(asking-i) * time.Second
			}
			got = a.answered(r, after(2*trip))
		}
		require.Equal(t, paused, got, "%d of %d", asking, mostAnswers)
		if paused {
			require.Equal(t, after(2*trip+time.Duration(asking)*time.Second), a.pausedUntil, "the longest of them")
			if asking == mostAnswers {
				require.LessOrEqual(t, a.limit, restartLimit, "it begins slowly after that: it took nothing")
			} else {
				took := float64(mostAnswers-asking) / (time.Second + 2*trip).Seconds()
				require.InDelta(t, took, a.limit, took/10, "it goes on with what it took")
			}
		}
	}
}

// TestAdmission_staysWithinItsBounds: whatever receivers answer, an endpoint gets something, never
// more than its concurrency, and no request waits for longer than five seconds unless the receiver
// insisted on more.
func TestAdmission_staysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := &admission{ceiling: rapid.IntRange(1, 64).Draw(t, "concurrency")}
		now := noon
		for range rapid.IntRange(1, 20).Draw(t, "spells") {
			refused := rapid.IntRange(0, 100).Draw(t, "refused in a hundred")
			hint := time.Duration(rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "seconds asked for")) * time.Second
			_, now = drive(a, now, time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms"))*time.Millisecond, func(i int) reply {
				r := reply{refused: i*37%100 < refused}
				if r.refused {
					r.asks = hint
				}
				return r
			})
			require.GreaterOrEqual(t, a.width(), 1)
			require.LessOrEqual(t, a.width(), a.ceiling)
			require.GreaterOrEqual(t, a.limit, 0.0)
			if a.limit > 0 {
				require.GreaterOrEqual(t, a.limit, leastLimit)
			}
			require.LessOrEqual(t, a.waits(now), 5*time.Second+time.Millisecond)
		}
	})
}

func TestHealth_aBusyReceiverKeepsItsCircuit(t *testing.T) {
	t.Parallel()
	p := terms{circuit: three}
	busy := retry.Decision{Overloaded: true, Busy: true}
	h := healthy()
	for i := range 100 {
		fails(h, p, busy, after(time.Duration(i)*time.Minute))
	}
	require.False(t, h.circuit.open)
	require.True(t, h.persists(0), "but somebody hears of it")
	for range 3 {
		fails(h, p, retry.Decision{Overloaded: true}, after(2*time.Hour))
	}
	require.True(t, h.circuit.open, "a gateway without anything behind it")
	// A probe has to succeed.
	probe := numbered(7)
	h.started(probe, after(3*time.Hour))
	h.failed("erp", probe, &p, busy, after(3*time.Hour))
	wait, ok := h.circuit.waits(after(3*time.Hour + time.Second))
	require.False(t, ok)
	require.Equal(t, 29*time.Second, wait)
}

func TestHealth_parksWhatWaitsForAPauseThatIsLong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hint   time.Duration
		parked bool
	}{{time.Second, false}, {time.Minute, true}} {
		hint, parked := test.hint, test.parked
		h := newHealth(ledger.EndpointState{}, 2*time.Second)
		h.admission.ceiling = 1
		d := retry.Decision{Overloaded: true, Busy: true, Asks: hint}
		ask := func(at time.Duration) bool {
			dl := numbered(1)
			h.started(dl, after(at))
			_, shed := h.failed("erp", dl, &terms{circuit: config.Circuit{}}, d, after(at+time.Second))
			return shed
		}
		require.False(t, ask(0))
		require.Equal(t, parked, ask(2*time.Second))
		reason, until := h.refusal(after(3 * time.Second))
		require.Equal(t, parked, reason != "")
		if parked {
			require.Equal(t, after(63*time.Second), until)
		}
		_, ok := h.mayGo(after(3*time.Second + hint/2))
		require.False(t, ok)
		n, again := h.loadable(after(3*time.Second), 100, 0)
		require.Zero(t, n)
		require.Equal(t, after(3*time.Second+hint), again)
	}
}
