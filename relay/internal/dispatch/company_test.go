package dispatch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// TestBatch_ofABusyReceiverStaysTogether: what fails for a reason that is in no event (the receiver
// has too much to do, or there is no access token) is tried again in the same company. What fails
// otherwise meanwhile is split as ever, and the last attempt is alone.
func TestBatch_ofABusyReceiverStaysTogether(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		statuses []int // of the requests; then 200
		sizes    []int // of the first requests
	}{
		"429":               {[]int{429, 429, 429}, []int{16, 16, 16, 16}},
		"503":               {[]int{503, 503}, []int{16, 16, 16}},
		"no token":          {[]int{0, 0}, []int{16, 16, 16}},
		"502":               {[]int{502}, []int{16, 4, 4, 4, 4}},
		"429, then 500":     {[]int{429, 500}, []int{16, 16, 1}},
		"the last is alone": {[]int{429, 429, 429, 429}, []int{16, 16, 16, 16, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				statuses := slices.Clone(test.statuses)
				a := &arrays{answers: func([]string) (int, []string) {
					if len(statuses) == 0 {
						return 200, nil
					}
					status := statuses[0]
					statuses = statuses[1:]
					return status, nil
				}}
				l := newArrays(t, a, func(e *config.Endpoint) {
					e.Batch.Events, e.Concurrency = 16, 1
					e.Retry.Schedule = slices.Repeat([]time.Duration{time.Minute}, 4)
				})
				events(l, 1, 16)
				l.later(2 * time.Hour)
				var sizes []int
				for _, ids := range a.all[:min(len(a.all), len(test.sizes))] {
					sizes = append(sizes, len(ids))
				}
				require.Equal(t, test.sizes, sizes)
				l.stop()
				require.Empty(t, l.tables.problems)
			})
		})
	}
}

// TestBatch_aFullOneGoesAtOnceAndTheRestWaitsForCompany: so it does where the events are in order,
// and the company comes to wait behind the first.
func TestBatch_aFullOneGoesAtOnceAndTheRestWaitsForCompany(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &arrays{}
				l := newArrays(t, a, func(e *config.Endpoint) { e.Concurrency, e.Ordering = 8, ordering })
				events(l, 1, 6)
				synctest.Wait()
				full := slices.Clone(a.all)
				events(l, 7, 7)
				l.later(time.Second)
				events(l, 8, 8)
				l.later(150 * time.Millisecond)
				events(l, 9, 9)
				l.later(time.Minute)
				events(l, 10, 10)
				l.later(50 * time.Millisecond)
				events(l, 11, 12)
				l.later(time.Minute)
				require.ElementsMatch(t, []string{
					"0s: e1 e2 e3", "0s: e4 e5 e6", "200ms: e7", "1.2s: e8 e9", "1m1.2s: e10 e11 e12",
				}, a.got)
				require.Len(t, full, 2, "without a seventh")
				require.Equal(t, []string{"#1 200 delivered"}, attemptsOf(l, "e5"))
				requests := map[string]int{}
				for i := range l.tables.attempts {
					requests[l.tables.attempts[i].RequestID]++
				}
				require.Equal(t, map[string]int{a.ids[0]: 3, a.ids[1]: 3, a.ids[2]: 1, a.ids[3]: 2, a.ids[4]: 3}, requests,
					"an attempt for each event, by request")
				l.stop()
				require.Empty(t, l.tables.problems)
			})
		})
	}
}

// TestBatch_whatHasNoRoomForMoreGoesAtOnce: by its bytes, too.
func TestBatch_whatHasNoRoomForMoreGoesAtOnce(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingStrict} {
		synctest.Test(t, func(t *testing.T) {
			a := &arrays{}
			l := newArrays(t, a, func(e *config.Endpoint) { e.Ordering, e.Batch.Events = ordering, 10 })
			payload := []byte(`"` + strings.Repeat("x", 400_000) + `"`)
			for i := range 3 {
				l.commit(func(tx *source.Unsettled) {
					l.Dispatch(outbox.Event{ID: fmt.Sprint("e", i), Type: "a", Payload: payload, CommitLSN: outbox.LSN(l.at)}, tx)
				})
			}
			l.later(time.Minute)
			require.Equal(t, []string{"0s: e0 e1", "200ms: e2"}, a.got, ordering)
			l.stop()
		})
	}
}

// TestBatch_whatWaitedBehindARequestHasWaited: an event waits for company once, and not again when
// the earlier ones of its key are answered.
func TestBatch_whatWaitedBehindARequestHasWaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{takes: 500 * time.Millisecond}
		l := newArrays(t, a, func(e *config.Endpoint) { e.Ordering, e.ParkAfter = config.OrderingStrict, time.Minute })
		events(l, 1, 4)
		l.later(400 * time.Millisecond)
		l.event("e5")
		l.later(200 * time.Millisecond)
		events(l, 6, 6)
		l.later(time.Minute)
		require.Equal(t, []string{"0s: e1 e2 e3", "500ms: e4 e5", "1s: e6"}, a.got)
		l.stop()
		require.Empty(t, l.tables.problems)
	})
}

// TestBatch_whatExpiresWaitsForNobody: an event that expires soon does not wait for company, and
// one that has expired is in no request.
func TestBatch_whatExpiresWaitsForNobody(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &arrays{takes: time.Second}
				l := newArrays(t, a, func(e *config.Endpoint) { e.Ordering, e.ParkAfter, e.Batch.Events = ordering, time.Minute, 4 })
				expiring := func(id string, in time.Duration) {
					l.commit(func(tx *source.Unsettled) {
						l.Dispatch(outbox.Event{ID: id, Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), ExpiresAt: time.Now().Add(in)}, tx)
					})
				}
				l.event("e1")
				expiring("soon", 100*time.Millisecond)
				synctest.Wait()
				require.Equal(t, []string{"0s: e1 soon"}, a.got)
				l.event("e2")
				expiring("over", 500*time.Millisecond)
				l.event("e3")
				l.later(time.Minute)
				var sent []string
				for _, ids := range a.all {
					sent = append(sent, ids...)
				}
				require.ElementsMatch(t, []string{"e1", "soon", "e2", "e3"}, sent, "%v", a.got)
				row, _ := l.row("over")
				require.Equal(t, outbox.ReasonExpired, row.Reason)
				l.stop()
				require.Empty(t, l.tables.problems)
			})
		})
	}
}
