package dispatch_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
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
