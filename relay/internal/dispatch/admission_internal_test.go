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
	a.answered(asks(3*time.Second), after(5*time.Second))
	require.Equal(t, after(65*time.Second), a.pausedUntil, "of answers that were under way the longest holds")
	a.answered(reply{started: after(3 * time.Second), refused: true, asks: time.Second}, after(6*time.Second))
	require.Equal(t, after(65*time.Second), a.pausedUntil)
	require.True(t, a.answered(asks(66*time.Second), after(67*time.Second)), "and again, after the pause")

	a = fresh()
	a.answered(asks(0), after(time.Second))
	a.answered(reply{started: after(0)}, after(2*time.Second))
	require.False(t, a.answered(asks(3*time.Second), after(4*time.Second)), "it took something in between")

	a = fresh()
	a.answered(asks(0), after(time.Second))
	require.False(t, a.answered(asks(time.Second), after(time.Second+5*time.Millisecond)), "it had no time to take anything")

	a = fresh()
	a.answered(asks(0), after(time.Second))
	require.False(t, a.answered(asks(time.Second), after(time.Second+insistence-1)), "nor had one that answers as soon as that")
	require.True(t, a.answered(asks(time.Second), after(time.Second+insistence)))

	a = fresh()
	a.roundTrip = time.Second
	a.answered(asks(0), after(time.Second))
	require.False(t, a.answered(asks(time.Second), after(2*time.Second)), "nor had one whose answers take that long")
	require.True(t, a.answered(asks(2*time.Second), after(3*time.Second)))

	a = fresh()
	for i := range 20 {
		a.answered(reply{started: after(0), refused: true}, after(time.Duration(i)*time.Millisecond))
	}
	a.answered(asks(0), after(time.Second))
	a.answered(asks(2*time.Second), after(3*time.Second))
	a.answered(reply{started: after(65 * time.Second)}, after(66*time.Second))
	require.InDelta(t, restartLimit, a.limit, 0, "what it refused before the pause is forgiven")

	a = fresh()
	a.answered(reply{started: after(0), refused: true}, after(time.Second))
	require.False(t, a.answered(reply{started: after(2 * time.Second), refused: true}, after(3*time.Second)), "it asked for nothing")
	require.Zero(t, a.pausedUntil)
}

func TestAdmission_doesWhatMostAnswersAskFor(t *testing.T) {
	t.Parallel()
	for asking, paused := range map[int]bool{mostAnswers / 4: false, mostAnswers / 2: false, mostAnswers * 3 / 4: true, mostAnswers: true} {
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

// TestAdmission_decidesByWhatItSaw: a second of requests to a receiver that answers a hundred in a
// second, for each of so many at once.
func TestAdmission_decidesByWhatItSaw(t *testing.T) {
	t.Parallel()
	recently := noon.Add(-calm + 1)
	for name, c := range map[string]struct {
		a                        admission
		starts, answers, refused int
		limit, edge              float64
	}{
		"nothing is taken":                 {admission{ceiling: 32}, 200, 100, 100, 200 * 0.25 * margin, 0},
		"nothing is taken of what may be":  {admission{ceiling: 32, limit: 100}, 200, 100, 100, 100 * 0.25 * margin, 0},
		"nothing is taken of what was":     {admission{ceiling: 32, limit: 1000}, 200, 100, 100, 200 * 0.25 * margin, 0},
		"nothing is taken of what there":   {admission{ceiling: 1}, 200, 100, 100, 100 * 0.25 * margin, 0},
		"half is taken":                    {admission{ceiling: 32}, 200, 100, 50, 200 * 0.5 * margin, 200},
		"half, where less was taken":       {admission{ceiling: 32, share: 0.9}, 200, 100, 50, 200 * 0.42 * margin, 200 * 0.84},
		"half of just enough":              {admission{ceiling: 32, share: 0.2}, 20, enough, enough / 2, 20 * 0.5 * margin, 20},
		"a part is taken":                  {admission{ceiling: 32}, 200, 100, 80, 200 * 0.25 * margin, 200 * 0.4},
		"hardly any is taken":              {admission{ceiling: 32}, 200, 100, 95, 200 * 0.25 * margin, 200 * 0.25},
		"most is taken":                    {admission{ceiling: 32}, 200, 100, 30, 200 * 0.7 * margin, 200},
		"as much is refused as may be":     {admission{ceiling: 32, share: tolerated}, 200, 100, 20, 0, 200},
		"all is taken, as much as ever":    {admission{ceiling: 32, edge: 100}, 200, 100, 0, 0, 200},
		"all is taken, less than once":     {admission{ceiling: 32, edge: 1000}, 200, 100, 0, 0, 900},
		"all, of half of what may be":      {admission{ceiling: 32, limit: 400}, 200, 100, 0, 600, 0},
		"all, of less than that":           {admission{ceiling: 32, limit: 402}, 200, 100, 0, 402, 0},
		"all, of little":                   {admission{ceiling: 32, limit: 2 * firstLimit}, 1, 1, 0, 2 * firstLimit, 0},
		"all, of nearly nothing":           {admission{ceiling: 32, limit: leastLimit}, 1, 1, 0, firstLimit, 0},
		"all, near a low edge":             {admission{ceiling: 32, limit: leastLimit, edge: 1}, 1, 1, 0, firstLimit, 1},
		"all, far below the edge":          {admission{ceiling: 32, limit: 20, edge: 100}, 20, 20, 0, 30, 100},
		"all, below the edge":              {admission{ceiling: 32, limit: 80, edge: 100}, 80, 80, 0, 90, 100},
		"all, at the edge":                 {admission{ceiling: 32, limit: 90, edge: 100}, 90, 90, 0, 92, 100},
		"few answers, at the edge":         {admission{ceiling: 32, limit: 100, edge: 100}, 100, enough / 2, 0, 101, 100},
		"all, for long beyond the edge":    {admission{ceiling: 32, limit: 100, edge: 100, clean: 40}, 100, 100, 0, 150, 100},
		"all, of nearly all of it":         {admission{ceiling: 32, limit: 3400, share: unnoticed, lowered: recently}, 3000, 100, 0, 3520, 0},
		"all that its concurrency allows":  {admission{ceiling: 2, limit: 198, edge: 100}, 198, 100, 0, 0, 100},
		"the same, for as long as is calm": {admission{ceiling: 2, limit: 198, edge: 100, lowered: noon.Add(-calm)}, 198, 100, 0, 0, 100},
		"the same, but not long ago":       {admission{ceiling: 2, limit: 198, edge: 100, lowered: recently}, 198, 100, 0, 200, 100},
		"the same, with some refused":      {admission{ceiling: 2, limit: 198, edge: 100, share: unnoticed}, 198, 100, 5, 200, 100},
	} {
		c.a.roundTrip, c.a.since, c.a.starts, c.a.answers, c.a.refused = trip, after(-time.Second), c.starts, c.answers, c.refused
		c.a.decide(noon, false)
		require.InDelta(t, c.limit, c.a.limit, 1e-9, name)
		require.InDelta(t, c.edge, c.a.edge, 1e-9, name)
	}
	a := &admission{ceiling: 32, since: noon, starts: 100, answers: 100, refused: 100}
	a.decide(noon, false)
	require.InDelta(t, 100_000*0.25*margin, a.limit, 1e-6, "in no time at all")
	for limit, needed := range map[float64]int{0: mostAnswers, leastLimit: fewestAnswers, 100: 5, 1e5: mostAnswers} {
		require.Equal(t, needed, (&admission{limit: limit}).needed(), "at %v a second", limit)
	}
}

// The next request waits for its turn and no longer, be it a moment or a bit of a burst.
func TestAdmission_waitsForItsTurn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit, tokens float64
		refilled      time.Time
		want          time.Duration
	}{
		"at the end of a pause": {2, 0, noon, 500 * time.Millisecond},
		"nearly all of it":      {400, 1 - 1e-12, noon, time.Microsecond},
		"a bit of a burst":      {5000, 0.9, noon, burstTime / 2},
		"longer than that":      {800, 0, noon, time.Second / 800},
		"a clock that is late":  {2, 0.5, after(time.Second), 250 * time.Millisecond},
	} {
		a := &admission{limit: c.limit, tokens: c.tokens, refilled: c.refilled, pausedUntil: noon}
		require.Equal(t, c.want, a.waits(noon), name)
	}
}

// A window in which hardly anything happened tells nothing, unless it is whole with this answer.
func TestAdmission_forgetsWhatIsLongAgo(t *testing.T) {
	t.Parallel()
	for before, decided := range map[int]bool{3: false, 4: true} {
		a := &admission{ceiling: 32, roundTrip: trip, limit: 100, share: 0.1}
		a.begin(noon)
		for range before {
			a.answered(reply{started: noon, refused: true}, noon)
		}
		late := after(staleAfter + time.Second)
		a.answered(reply{started: late, refused: true}, late)
		require.Equal(t, decided, a.limit < 100, "%d answers before", before)
	}
	a := &admission{ceiling: 32, roundTrip: trip, limit: enough / decisionTime.Seconds()}
	a.begin(noon)
	for i := range enough {
		paused := a.answered(asks(time.Second), after(time.Second+2*trip))
		require.Equal(t, i == enough-1, paused, "it insists once it says so just often enough")
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
