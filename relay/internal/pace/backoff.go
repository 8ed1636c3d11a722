package pace

import (
	"context"
	"time"
)

// The bounds of a Backoff that names none.
const (
	DefaultLeast = 100 * time.Millisecond
	DefaultMost  = 5 * time.Second
)

// Backoff is a pause that doubles from Least to Most. Its zero value goes from DefaultLeast to
// DefaultMost. It belongs to one goroutine.
type Backoff struct {
	Least, Most time.Duration

	pause time.Duration // the last one; 0: none since Reset
}

// Next returns the pause to make now: Least at first, then twice the last one, and never more than
// Most.
func (b *Backoff) Next() time.Duration {
	least, most := b.Least, b.Most
	if least <= 0 {
		least = DefaultLeast
	}
	if most <= 0 {
		most = max(DefaultMost, least)
	}
	if b.pause > most/2 {
		b.pause = most
	} else {
		b.pause = min(max(least, 2*b.pause), most)
	}
	return b.pause
}

// Reset makes the next pause the shortest again, because something worked.
func (b *Backoff) Reset() { b.pause = 0 }

// Wait makes the next pause. It returns the cause of ctx's end if that comes first.
func (b *Backoff) Wait(ctx context.Context) error { return Wait(ctx, b.Next()) }
