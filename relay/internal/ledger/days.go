package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/schema"
)

// daysAhead is for how many days tailpost.attempt has partitions, today included: a relay that
// cannot make one for a week has other problems.
const daysAhead = 7

const day = 24 * time.Hour

// Partitions makes the partitions of tailpost.attempt. Its methods are safe for concurrent use.
type Partitions struct {
	link *Link

	mu    sync.Mutex
	until time.Time // the first day that may have none
}

// EnsurePartitions makes the partitions of tailpost.attempt that now and the next days need. It is
// cheap when called often: it asks the database about once a day.
func (p *Partitions) EnsurePartitions(ctx context.Context, now time.Time) error {
	today := dayOf(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !today.Add(daysAhead * day).After(p.until) {
		return nil
	}
	if err := p.ensure(ctx, today, daysAhead); err != nil {
		return err
	}
	p.until = today.Add(daysAhead * day)
	return nil
}

func (p *Partitions) ensure(ctx context.Context, from time.Time, n int) error {
	return p.link.Run(ctx, "make partitions of tailpost.attempt", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := schema.EnsurePartitions(ctx, conn, from, n)
		return err
	})
}

// dayOf is the start of t's UTC day.
func dayOf(t time.Time) time.Time {
	return t.UTC().Truncate(day)
}
