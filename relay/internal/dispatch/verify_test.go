package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// careful is a sender whose receiver is asked first whether it wants events.
type careful struct {
	*gate

	asked  int
	wants  bool
	unsent bool
	local  bool
	error  string
}

func (c *careful) Verify(context.Context, func() bool) webhook.Result {
	looked.Lock()
	defer looked.Unlock()
	c.asked++
	if c.unsent {
		return webhook.Result{Unsent: true}
	}
	return webhook.Result{Delivered: c.wants, Local: c.local, Attempt: outbox.Attempt{
		EventID: "verify_1", Trigger: outbox.TriggerTest, StatusCode: 404, Error: c.error, AttemptedAt: time.Now(),
	}}
}

// TestProof_comesBeforeTheFirstEvent: until the endpoint has shown that it wants events they wait
// in the table, hold no WAL, and keep their order; then they go out.
func TestProof_comesBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		c := &careful{gate: l.gate}
		e := l.endpoint()
		e.Sender, e.Proof, e.Config.Ordering = c, "p1", config.OrderingKey
		l.change(e)
		l.keyed("e1", "k")
		l.keyed("e2", "k")
		l.later(time.Second)
		require.Zero(t, l.gate.sent())
		l.requireRow("e1", outbox.Pending, outbox.ReasonUnverified)
		l.requireRow("e2", outbox.Pending, outbox.ReasonUnverified)
		require.Equal(t, l.at+5, l.tables.position(), "it holds no WAL")
		require.Equal(t, 1, c.asked)
		l.later(6 * time.Second)
		require.Equal(t, 2, c.asked, "it is asked again")
		require.Equal(t, "the answer was status 404", l.tables.changes[0].VerifyError)
		require.Empty(t, l.tables.changes[0].Verified)
		require.Len(t, l.tables.attempts, 2, "each asking is on record")
		require.Equal(t, outbox.TriggerTest, l.tables.attempts[0].Trigger)
		l.later(time.Hour)
		require.Less(t, c.asked, 20, "less and less often")

		looked.Lock()
		c.wants = true
		looked.Unlock()
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(11 * time.Minute)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		last := l.tables.changes[len(l.tables.changes)-1]
		require.Equal(t, ledger.EndpointChange{EndpointID: "ep_1", Verified: "p1"}, last)
		before := c.asked
		l.event("e3")
		l.gate.answer <- 200
		l.later(time.Hour)
		require.Equal(t, 3, l.gate.sent())
		require.Equal(t, before, c.asked, "it passed")

		again := l.endpoint()
		again.Sender, again.Proof, again.Config.Ordering = c, "p2", config.OrderingKey
		c.wants = false
		l.change(again)
		l.event("e4")
		l.later(time.Second)
		l.requireRow("e4", outbox.Pending, outbox.ReasonUnverified)
		require.Equal(t, before+1, c.asked, "another URL has to pass too, and is asked at once")
		l.gate.answer <- 200
		l.SetVerified("ep_1", "p2") // a person asked
		l.later(time.Second)
		require.Equal(t, 4, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// TestProof_saysWhyThereIsNone: a receiver that could not be asked is told apart from one that says
// no, and what this machine lacks is no answer at all.
func TestProof_saysWhyThereIsNone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		local bool
		want  []ledger.EndpointChange
	}{
		"out of reach":                       {false, []ledger.EndpointChange{{EndpointID: "ep_1", VerifyError: "no such host"}}},
		"for want of something that is ours": {true, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			c := &careful{gate: l.gate, error: "no such host", local: test.local}
			e := l.endpoint()
			e.Sender, e.Proof = c, "p1"
			l.change(e)
			l.later(time.Second)
			require.Equal(t, test.want, l.tables.changes, name)
			require.Len(t, l.tables.attempts, len(test.want), name)
			l.later(10 * time.Second)
			require.Equal(t, 2, c.asked, name)
			l.stop()
		})
	}
}

// TestProof_leavesAloneSinceWhenTheEndpointFails: what a challenge records keeps since when the
// endpoint fails, which disable_after counts from after a restart too.
func TestProof_leavesAloneSinceWhenTheEndpointFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		since := time.Now().Add(-time.Hour)
		e := l.endpoint()
		e.State = ledger.EndpointState{Status: ledger.StatusActive, FailingSince: since}
		e.Sender, e.Proof = &careful{gate: l.gate}, "p1"
		l.change(e)
		l.later(time.Second)
		last := l.tables.changes[len(l.tables.changes)-1]
		require.NotEmpty(t, last.VerifyError)
		require.Equal(t, since, last.FailingSince)
		l.stop()
	})
}

// unhurried is a careful sender that takes its time.
type unhurried struct{ *careful }

func (a unhurried) Verify(ctx context.Context, held func() bool) webhook.Result {
	pause(ctx, time.Second)
	return a.careful.Verify(ctx, held)
}

// TestProof_isOverWithItsEndpoint: an endpoint that goes while it is asked is not asked again.
func TestProof_isOverWithItsEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		c := &careful{gate: l.gate}
		e := l.endpoint()
		e.Sender, e.Proof, e.Streamed = unhurried{c}, "p1", false
		l.Reload([]dispatch.Endpoint{*e})
		l.later(100 * time.Millisecond)
		l.Reload(nil)
		l.later(time.Hour)
		require.Equal(t, 1, c.asked)
		require.Empty(t, l.tables.attempts, "nobody wants to know")
		l.stop()
	})
}

// TestProof_isNotAskedForInVain: an endpoint that is paused, or has shown it, is not asked, and a
// relay that does not hold the slot asks nobody.
func TestProof_isNotAskedForInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := true
		l := newLife(t, func(_ *life, o *dispatch.Options) {
			o.Held = func() bool {
				looked.Lock()
				defer looked.Unlock()
				return held
			}
		})
		c := &careful{gate: l.gate}
		e := l.endpoint()
		e.Sender, e.Proof, e.State = c, "p1", ledger.EndpointState{Status: "active", Verified: "p1"}
		l.change(e)
		l.gate.answer <- 200
		l.event("e1")
		l.later(time.Minute)
		require.Equal(t, 1, l.gate.sent())
		require.Zero(t, c.asked)

		l.SetState("ep_1", ledger.EndpointState{Status: "paused", Verified: "p1"})
		l.SetVerified("ep_1", "")
		l.later(time.Hour)
		require.Zero(t, c.asked)
		looked.Lock()
		held = false
		looked.Unlock()
		l.SetState("ep_1", ledger.EndpointState{Status: "active"})
		l.later(time.Minute)
		require.Zero(t, c.asked)
		looked.Lock()
		held, c.unsent = true, true
		looked.Unlock()
		l.later(2 * time.Second)
		require.Equal(t, 1, c.asked)
		require.Len(t, l.tables.attempts, 1, "nothing was asked, so nothing is on record of it")
		l.stop()
	})
}

// TestProof_isThatOfTheEndpointThatIsBack: what is on record of an endpoint when it comes back
// counts, whatever was when it went, though requests of before are still in flight.
func TestProof_isThatOfTheEndpointThatIsBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		went, back string
		sent       int
	}{"shown meanwhile": {"", "p1", 2}, "not any more": {"p1", "", 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				c := &careful{gate: l.gate}
				e := l.endpoint()
				e.Streamed, e.Sender, e.Proof, e.State = false, c, "p1", ledger.EndpointState{Status: ledger.StatusActive, Verified: "p1"}
				l.Reload([]dispatch.Endpoint{*e})
				l.event("e1")
				l.later(time.Millisecond)
				require.Equal(t, 1, l.gate.sent())
				l.SetVerified("ep_1", test.went)
				l.Reload(nil)
				e.State.Verified = test.back
				l.Reload([]dispatch.Endpoint{*e})
				l.event("e2")
				l.gate.answer <- 200
				l.gate.answer <- 200
				l.later(time.Second)
				require.Equal(t, test.sent, l.gate.sent())
				l.stop()
			})
		})
	}
}

// doubtful is a sender whose receiver takes its time to say whether it wants events.
type doubtful struct {
	*gate

	asked   int
	verdict chan int
}

func (d *doubtful) Verify(context.Context, func() bool) webhook.Result {
	looked.Lock()
	d.asked++
	looked.Unlock()
	status := <-d.verdict
	return webhook.Result{Delivered: status == 200, Attempt: outbox.Attempt{EventID: "verify_1", Trigger: outbox.TriggerTest, StatusCode: status, AttemptedAt: time.Now()}}
}

// TestProof_ofAnotherURLSaysNothing: what a receiver answers after its endpoint has moved is
// neither on record of the new one nor a reason to ask that one later.
func TestProof_ofAnotherURLSaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		d := &doubtful{gate: l.gate, verdict: make(chan int, 1)}
		e := l.endpoint()
		e.Sender, e.Proof = d, "p1"
		l.change(e)
		synctest.Wait()
		require.Equal(t, 1, d.asked)
		moved := *e
		moved.Proof = "p2"
		l.change(&moved)
		d.verdict <- 404
		l.later(100 * time.Millisecond)
		require.Equal(t, 2, d.asked, "at once")
		require.Empty(t, l.tables.changes)
		d.verdict <- 200
		l.later(100 * time.Millisecond)
		require.Len(t, l.tables.changes, 1)
		require.Equal(t, "p2", l.tables.changes[0].Verified)
		l.stop()
	})
}

// TestProof_isStillToBeShownOnceEnabled: that a person enables an endpoint says nothing of what its
// receiver wants.
func TestProof_isStillToBeShownOnceEnabled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		c := &careful{gate: l.gate}
		e := l.endpoint()
		e.Sender, e.Proof, e.State = c, "p1", ledger.EndpointState{Status: ledger.StatusDisabled}
		l.change(e)
		l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusDisabled})
		l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusActive})
		l.event("e1")
		l.later(time.Second)
		require.Zero(t, l.gate.sent())
		l.requireRow("e1", outbox.Pending, outbox.ReasonUnverified)
		l.stop()
	})
}

// Whoever finds that an endpoint has not shown yet that it wants events has it asked at once, and
// nothing is sent to it meanwhile.
func TestProof_thatIsTakenBackIsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		c := &careful{gate: l.gate}
		e := l.endpoint()
		e.Sender, e.Proof, e.State.Verified, e.Config.ParkAfter = c, "p1", "p1", time.Hour
		l.change(e)
		events(l, 1, 2)
		l.later(time.Second)
		require.Zero(t, c.asked)
		l.SetVerified("ep_1", "")
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 1, c.asked)
		require.Equal(t, 1, l.gate.sent(), "what was on its way")
		l.requireRow("e2", outbox.Pending, outbox.ReasonUnverified)
		l.stop()
	})
}
