package pace

import (
	"context"
	"math"
	"time"
)

// Rest is how long something that others pay for rests after each piece of work. With Times 9 it
// works for a tenth of the time at most.
type Rest struct {
	Times int           // as a multiple of what the work took; below 1: 1
	Least time.Duration // but so long at least; 0: a millisecond
	Most  time.Duration // and so long at most; 0: no bound
}

// leastRest keeps work that takes no measurable time from running without a pause.
const leastRest = time.Millisecond

// After returns how long to rest after work that took this long.
func (r Rest) After(took time.Duration) time.Duration {
	rest := time.Duration(math.MaxInt64)
	if times := int64(max(r.Times, 1)); int64(took) <= math.MaxInt64/times {
		rest = time.Duration(int64(max(took, 0)) * times)
	}
	least := r.Least
	if least <= 0 {
		least = leastRest
	}
	rest = max(rest, least)
	if r.Most > 0 {
		rest = min(rest, r.Most)
	}
	return rest
}

// Wait rests after work that began at began and ends now. It returns the cause of ctx's end if that
// comes first.
func (r Rest) Wait(ctx context.Context, began time.Time) error {
	return Wait(ctx, r.After(time.Since(began)))
}
