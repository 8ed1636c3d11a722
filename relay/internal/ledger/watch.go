package ledger

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// loader lends out the connection that does not record.
type loader struct {
	token chan struct{} // holds one value while the connection is free
	conn  *pgx.Conn     // owned by whoever took the token; nil: to be made

	mu       sync.Mutex
	users    int           // that have or want the token, not counting Watch
	unwatch  func()        // non-nil while Watch has the token
	released chan struct{} // gets a value when users becomes 0
}

func newLoader() *loader {
	ld := &loader{token: make(chan struct{}, 1), released: make(chan struct{}, 1)}
	ld.token <- struct{}{}
	return ld
}

// acquire waits for the connection. Watch gives way.
func (ld *loader) acquire(ctx context.Context) error {
	ld.mu.Lock()
	ld.users++
	if ld.unwatch != nil {
		ld.unwatch()
	}
	ld.mu.Unlock()
	select {
	case <-ld.token:
		return nil
	case <-ctx.Done():
		ld.leave()
		return context.Cause(ctx)
	}
}

func (ld *loader) release() {
	ld.token <- struct{}{}
	ld.leave()
}

func (ld *loader) leave() {
	ld.mu.Lock()
	defer ld.mu.Unlock()
	ld.users--
	if ld.users == 0 {
		select {
		case ld.released <- struct{}{}:
		default:
		}
	}
}

func (ld *loader) close(ctx context.Context) error {
	if err := ld.acquire(ctx); err != nil {
		return err
	}
	defer ld.release()
	if ld.conn == nil {
		return nil
	}
	conn := ld.conn
	ld.conn = nil
	return conn.Close(ctx)
}

// Watch waits on the idle connection for the server's goodbye and reports it through Options.Disconnected, at once and
// without a query. It gives way to whoever loads, and returns nil when ctx is done.
func (l *Ledger) Watch(ctx context.Context) error {
	ld := l.loading
	for ctx.Err() == nil {
		watch, cancel := context.WithCancel(ctx)
		if !ld.begin(cancel) {
			cancel()
			select {
			case <-ld.released:
			case <-ctx.Done():
			}
			continue
		}
		err := wait(watch, ld.conn)
		gone := ld.conn == nil || ld.conn.IsClosed()
		if gone {
			ld.conn = nil
		}
		ld.end()
		gaveWay := watch.Err() != nil
		cancel()
		if gone && !gaveWay {
			l.lose(err)
		}
	}
	return nil
}

// begin takes the connection unless somebody uses or wants it, or there is none; whoever comes later calls unwatch.
func (ld *loader) begin(unwatch func()) bool {
	ld.mu.Lock()
	defer ld.mu.Unlock()
	if ld.users > 0 {
		return false
	}
	select {
	case <-ld.token:
	default:
		return false
	}
	if ld.conn == nil {
		ld.token <- struct{}{}
		return false
	}
	ld.unwatch = unwatch
	return true
}

func (ld *loader) end() {
	ld.mu.Lock()
	defer ld.mu.Unlock()
	ld.unwatch = nil
	ld.token <- struct{}{}
}

// wait returns when the connection is lost or ctx is done. Nothing is listened to, so that nothing arrives but the end.
func wait(ctx context.Context, conn *pgx.Conn) error {
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
