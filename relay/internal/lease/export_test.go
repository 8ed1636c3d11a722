package lease

import (
	"context"
	"sync/atomic"
	"time"
)

// Clock has the lease go by a clock that is ahead of its own by what the result holds.
func (l *Lease) Clock() *atomic.Int64 {
	ahead, now := new(atomic.Int64), l.now
	l.now = func() time.Duration { return now() + time.Duration(ahead.Load()) }
	return ahead
}

// Ask asks the server something.
func (l *Lease) Ask(ctx context.Context, sql string) error {
	return l.while(ctx, "ask", func() error {
		return l.ask(ctx, "ask", func(ctx context.Context) error {
			_, err := l.conn.Exec(ctx, sql)
			return err
		})
	})
}

// Partition returns the key of a partition's lock.
func (l *Lease) Partition(n int) (class, number int32) { return l.keys.partitions, int32(n) }

// Members returns the key of the lock that members share.
func (l *Lease) Members() (class, number int32) { return l.keys.members, 0 }

// Printed is how Postgres prints a setting of milliseconds.
func Printed(d time.Duration) string { return printed(d) }
