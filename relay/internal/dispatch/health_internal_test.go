package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/retry"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	three = config.Circuit{Failures: 3, Reopen: 30 * time.Second}
)

func after(d time.Duration) time.Time { return noon.Add(d) }

// opened is a circuit that three failures have opened at noon.
func opened(t *testing.T) *circuit {
	t.Helper()
	c := &circuit{}
	require.False(t, c.failed(numbered(1), three, noon))
	require.False(t, c.failed(numbered(2), three, noon))
	require.True(t, c.failed(numbered(3), three, noon))
	return c
}

func TestCircuit_opensAtTheFailureThatIsOneTooMany(t *testing.T) {
	t.Parallel()
	c := &circuit{}
	for range 2 {
		c.failed(numbered(1), three, noon)
		_, ok := c.waits(noon)
		require.True(t, ok)
	}
	c.failed(numbered(1), three, noon)
	wait, ok := c.waits(noon)
	require.False(t, ok)
	require.Equal(t, 30*time.Second, wait)
}

func TestCircuit_countsFailuresInARow(t *testing.T) {
	t.Parallel()
	c := &circuit{}
	for range 5 {
		require.False(t, c.failed(numbered(1), three, noon))
		require.False(t, c.failed(numbered(1), three, noon))
		c.succeeded()
	}
}

func TestCircuit_withoutFailuresNeverOpens(t *testing.T) {
	t.Parallel()
	c := &circuit{}
	for range 100 {
		require.False(t, c.failed(numbered(1), config.Circuit{}, noon))
	}
}

func TestCircuit_refusesUntilItReopens(t *testing.T) {
	t.Parallel()
	c := opened(t)
	for _, test := range []struct {
		at   time.Duration
		open bool
	}{{0, true}, {29 * time.Second, true}, {30 * time.Second, false}, {time.Hour, false}} {
		at, open := test.at, test.open
		until, refuses := c.refuses(after(at))
		require.Equal(t, open, refuses, "after %s", at)
		if open {
			require.Equal(t, after(30*time.Second), until)
		}
	}
}

func TestCircuit_letsOneProbeIn(t *testing.T) {
	t.Parallel()
	c := opened(t)
	probe := numbered(4)
	_, ok := c.waits(after(time.Minute))
	require.True(t, ok)
	c.started(probe)
	wait, ok := c.waits(after(time.Minute))
	require.False(t, ok, "a second one")
	require.Zero(t, wait, "the first one's answer decides")
	_, refuses := c.refuses(after(time.Minute))
	require.True(t, refuses)
	require.True(t, c.failed(probe, three, after(time.Minute)))
	wait, ok = c.waits(after(time.Minute))
	require.False(t, ok)
	require.Equal(t, 30*time.Second, wait, "open anew")
	c.started(probe)
	c.succeeded()
	_, ok = c.waits(after(time.Minute))
	require.True(t, ok)
	require.False(t, c.failed(probe, three, noon), "counted from the start")
}

// A probe that says nothing of the endpoint must not keep the next one out for ever.
func TestCircuit_anAbandonedProbeFreesItsPlace(t *testing.T) {
	t.Parallel()
	c := opened(t)
	probe := numbered(4)
	c.started(probe)
	c.abandoned(numbered(5))
	_, ok := c.waits(after(time.Minute))
	require.False(t, ok, "another request is not the probe")
	c.abandoned(probe)
	_, ok = c.waits(after(time.Minute))
	require.True(t, ok)
}

func TestCircuit_aFailureOfBeforeIsNotTheProbes(t *testing.T) {
	t.Parallel()
	c := opened(t)
	require.False(t, c.failed(numbered(9), three, after(20*time.Second)))
	_, ok := c.waits(after(31 * time.Second))
	require.True(t, ok, "it does not put the probe off")
	c.started(numbered(4))
	require.False(t, c.failed(numbered(8), three, after(32*time.Second)))
	_, ok = c.waits(after(33 * time.Second))
	require.False(t, ok, "the probe is in flight still")
}

func healthy() *health {
	h := newHealth(ledger.EndpointState{}, time.Second)
	return &h
}

func fails(h *health, p terms, d retry.Decision, now time.Time) (*ledger.EndpointChange, bool) {
	return h.failed("erp", numbered(1), &p, d, now)
}

func TestHealth_aPersonsWordCounts(t *testing.T) {
	t.Parallel()
	for status, reason := range map[string]outbox.Reason{
		"": "", ledger.StatusActive: "", ledger.StatusPaused: outbox.ReasonPaused, ledger.StatusDisabled: outbox.ReasonDisabled,
	} {
		h := newHealth(ledger.EndpointState{Status: status}, time.Second)
		got, _ := h.refusal(noon)
		require.Equal(t, reason, got, "status %q", status)
		_, ok := h.mayGo(noon)
		require.Equal(t, reason == "", ok)
		n, again := h.loadable(noon, 100, 0)
		require.Equal(t, reason == "", n == 100)
		require.Zero(t, again, "nobody knows when")
	}
	h := healthy()
	h.blocked = true
	reason, _ := h.refusal(noon)
	require.Equal(t, outbox.ReasonUnusable, reason)
	_, ok := h.mayGo(noon)
	require.False(t, ok)
}

func TestHealth_failingSinceIsTheFirstFailureSinceASuccess(t *testing.T) {
	t.Parallel()
	h := healthy()
	require.Nil(t, h.succeeded("erp", numbered(1), noon), "nothing to say of an endpoint that is well")
	change, _ := fails(h, terms{}, retry.Decision{}, noon)
	require.Equal(t, &ledger.EndpointChange{EndpointID: "erp", FailingSince: noon}, change)
	change, _ = fails(h, terms{}, retry.Decision{}, after(time.Hour))
	require.Nil(t, change, "it is failing since noon")
	require.Equal(t, &ledger.EndpointChange{EndpointID: "erp"}, h.succeeded("erp", numbered(1), noon))
	require.Nil(t, h.succeeded("erp", numbered(1), noon))
	change, _ = fails(h, terms{}, retry.Decision{}, after(2*time.Hour))
	require.Equal(t, after(2*time.Hour), change.FailingSince)
}

func TestHealth_knowsFromItsRowSinceWhenItFails(t *testing.T) {
	t.Parallel()
	h := newHealth(ledger.EndpointState{Status: ledger.StatusActive, FailingSince: noon}, time.Second)
	change, _ := fails(&h, terms{disableAfter: time.Hour}, retry.Decision{}, after(time.Hour-1))
	require.Nil(t, change)
	change, _ = fails(&h, terms{disableAfter: time.Hour}, retry.Decision{}, after(time.Hour))
	require.Equal(t, ledger.StatusDisabled, change.Status)
	require.Equal(t, noon, change.FailingSince)
}

func TestHealth_disablesForItsReasons(t *testing.T) {
	t.Parallel()
	h := healthy()
	change, shed := fails(h, terms{}, retry.Decision{Disable: "the endpoint answered 410 Gone"}, noon)
	require.Equal(t, ledger.StatusDisabled, change.Status)
	require.Equal(t, "the endpoint answered 410 Gone", change.DisabledReason)
	require.True(t, shed)
	change, _ = fails(h, terms{}, retry.Decision{Disable: "again"}, after(time.Second))
	require.Nil(t, change, "it is disabled already")

	h = healthy()
	p := terms{disableAfter: 2 * time.Hour}
	change, _ = fails(h, p, retry.Decision{}, noon)
	require.Empty(t, change.Status)
	change, _ = fails(h, p, retry.Decision{}, after(2*time.Hour))
	require.Equal(t, "failing without one success for 2h0m0s", change.DisabledReason)
	h = healthy()
	fails(h, p, retry.Decision{}, noon)
	change, _ = fails(h, p, retry.Decision{Disable: "the endpoint answered 410 Gone"}, after(3*time.Hour))
	require.Equal(t, "the endpoint answered 410 Gone", change.DisabledReason, "what the receiver says is said, however long it fails")
	h = healthy()
	fails(h, terms{}, retry.Decision{}, noon)
	change, _ = fails(h, terms{}, retry.Decision{}, after(10000*time.Hour))
	require.Nil(t, change, "without disable_after it never is")
}

// TestHealth_enablingBeginsAnew: what the endpoint was disabled for is over, whatever that was.
func TestHealth_enablingBeginsAnew(t *testing.T) {
	t.Parallel()
	p := terms{circuit: three, disableAfter: time.Hour}
	h := healthy()
	fails(h, p, retry.Decision{}, noon)
	for range 3 {
		fails(h, p, retry.Decision{}, after(time.Hour))
	}
	h.admission.pausedUntil = after(24 * time.Hour)
	require.Equal(t, ledger.StatusDisabled, h.status)
	require.True(t, h.circuit.open)
	h.assign(ledger.EndpointState{Status: ledger.StatusActive, FailingSince: noon})
	reason, _ := h.refusal(after(time.Hour))
	require.Empty(t, reason)
	_, ok := h.mayGo(after(time.Hour))
	require.True(t, ok)
	change, _ := fails(h, p, retry.Decision{}, after(2*time.Hour))
	require.Equal(t, &ledger.EndpointChange{EndpointID: "erp", FailingSince: after(2 * time.Hour)}, change, "failing since then, not since noon")
	_, ok = h.mayGo(after(2 * time.Hour))
	require.True(t, ok, "the first failure of three")
}

// TestHealth_enablingForgetsNothingElse: what it has shown, and what its configuration says, stays.
func TestHealth_enablingForgetsNothingElse(t *testing.T) {
	t.Parallel()
	h := newHealth(ledger.EndpointState{Status: ledger.StatusDisabled, Verified: "p1"}, time.Minute)
	h.proof, h.admission.ceiling = "p1", 7
	h.assign(ledger.EndpointState{Status: ledger.StatusActive})
	reason, _ := h.refusal(noon)
	require.Empty(t, reason, "it has shown that it wants events")
	require.Equal(t, 7, h.admission.width())
	h.admission.pausedUntil = after(59 * time.Second)
	reason, _ = h.refusal(noon)
	require.Empty(t, reason, "it waits in memory for less than park_after")
	h.status, h.blocked = ledger.StatusDisabled, true
	h.assign(ledger.EndpointState{Status: ledger.StatusActive})
	reason, _ = h.refusal(noon)
	require.Equal(t, outbox.ReasonUnusable, reason)
	h.blocked, h.verified = false, "p0"
	reason, _ = h.refusal(noon)
	require.Equal(t, outbox.ReasonUnverified, reason, "its URL is another one by now")
}

// TestHealth_ofWhatHasToBeShown: until the endpoint has, nothing is sent or brought back for it;
// where nothing has to be, it does not matter what once had.
func TestHealth_ofWhatHasToBeShown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		proof, verified string
		goes            bool
	}{{"", "", true}, {"", "p1", true}, {"p1", "p1", true}, {"p2", "p1", false}, {"p1", "", false}} {
		h := newHealth(ledger.EndpointState{Verified: test.verified}, time.Second)
		h.proof = test.proof
		_, ok := h.mayGo(noon)
		require.Equal(t, test.goes, ok, "%+v", test)
		n, again := h.loadable(noon, 100, 0)
		require.Equal(t, test.goes, n > 0, "%+v", test)
		require.Zero(t, again)
		reason, _ := h.refusal(noon)
		require.Equal(t, test.goes, reason == "", "%+v", test)
	}
}

// TestHealth_warnsOfNothingThatWillNotHappen: without disable_after, or once it is disabled.
func TestHealth_warnsOfNothingThatWillNotHappen(t *testing.T) {
	t.Parallel()
	h := newHealth(ledger.EndpointState{FailingSince: noon}, time.Second)
	require.False(t, h.warned(0, after(1000*time.Hour)))
	require.False(t, h.warned(time.Hour, after(30*time.Minute-1)))
	require.True(t, h.warned(time.Hour, after(30*time.Minute)))
	require.False(t, h.warned(time.Hour, after(45*time.Minute-1)))
	h.disable("erp", "gone")
	require.False(t, h.warned(time.Hour, after(45*time.Minute)))
	require.False(t, healthy().warned(time.Hour, after(time.Hour)), "it is well")
}

func TestHealth_enablingClearsTheRowAtTheNextSuccess(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]time.Time{"the row says so": noon, "the row is about to say so": {}} {
		h := healthy()
		fails(h, terms{}, retry.Decision{Disable: "gone"}, noon)
		h.assign(ledger.EndpointState{Status: ledger.StatusActive, FailingSince: said})
		require.Equal(t, &ledger.EndpointChange{EndpointID: "erp"}, h.succeeded("erp", numbered(1), noon), name)
		require.Nil(t, h.succeeded("erp", numbered(1), noon), name)
	}
	// A person had disabled it: nothing is to be cleared, unless its row says otherwise.
	for said, want := range map[time.Time]*ledger.EndpointChange{{}: nil, noon: {EndpointID: "erp"}} {
		h := healthy()
		h.assign(ledger.EndpointState{Status: ledger.StatusDisabled})
		h.assign(ledger.EndpointState{Status: ledger.StatusActive, FailingSince: said})
		require.Equal(t, want, h.succeeded("erp", numbered(1), noon))
	}
}

// TestHealth_resumingTriesOnce: whoever resumes an endpoint wants to see it tried, whatever the
// receiver asked for. Its circuit stays open until that has come to a good end.
func TestHealth_resumingTriesOnce(t *testing.T) {
	t.Parallel()
	h := healthy()
	for range 3 {
		fails(h, terms{circuit: three}, retry.Decision{}, noon)
	}
	h.admission.pause(noon, time.Hour)
	h.assign(ledger.EndpointState{Status: ledger.StatusActive})
	_, ok := h.mayGo(noon)
	require.False(t, ok, "it was active before")
	h.assign(ledger.EndpointState{Status: ledger.StatusPaused})
	h.assign(ledger.EndpointState{Status: ledger.StatusActive})
	reason, _ := h.refusal(noon)
	require.Empty(t, reason)
	_, ok = h.mayGo(noon)
	require.True(t, ok)
	probe := numbered(4)
	h.started(probe, noon)
	_, ok = h.mayGo(noon)
	require.False(t, ok, "one")
	h.failed("erp", probe, &terms{circuit: three}, retry.Decision{}, noon)
	reason, until := h.refusal(noon)
	require.Equal(t, outbox.ReasonCircuitOpen, reason)
	require.Equal(t, after(30*time.Second), until)
}

func TestHealth_loadsOneForAHalfOpenCircuit(t *testing.T) {
	t.Parallel()
	h := healthy()
	h.circuit = *opened(t)
	n, again := h.loadable(after(time.Second), 100, 0)
	require.Zero(t, n)
	require.Equal(t, after(30*time.Second), again)
	n, _ = h.loadable(after(time.Minute), 100, 0)
	require.Equal(t, 1, n)
	n, _ = h.loadable(after(time.Minute), 0, 0)
	require.Zero(t, n, "there is no room")
	n, _ = h.loadable(after(time.Minute), 100, 1)
	require.LessOrEqual(t, n, 0, "the probe waits already")
	h.circuit.started(numbered(1))
	n, again = h.loadable(after(time.Minute), 100, 0)
	require.Zero(t, n)
	require.Zero(t, again, "the probe decides")
	h.circuit.succeeded()
	n, _ = h.loadable(after(time.Minute), 100, 5)
	require.Equal(t, 100, n)
}

func TestHealth_tellsOfFailuresThatPersist(t *testing.T) {
	t.Parallel()
	h := healthy()
	for range failingAfter - 1 {
		fails(h, terms{}, retry.Decision{}, noon)
	}
	require.False(t, h.persists(0))
	fails(h, terms{}, retry.Decision{}, noon)
	require.True(t, h.persists(0))
	require.True(t, h.persists(2*failingAfter), "whatever its circuit waits for")
	h = healthy()
	fails(h, terms{}, retry.Decision{}, noon)
	require.False(t, h.persists(2))
	fails(h, terms{}, retry.Decision{}, noon)
	require.True(t, h.persists(2), "a circuit of two opens at two")
}
