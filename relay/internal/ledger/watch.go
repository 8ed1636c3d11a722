package ledger

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// loan says whose a connection is: of one user at a time, and of a watcher while nobody else wants
// it.
type loan struct {
	token chan struct{} // holds one value while the connection is free

	mu       sync.Mutex
	users    int           // that have or want the token, not counting the watcher
	unwatch  func()        // non-nil while the watcher has the token
	released chan struct{} // gets a value when users becomes 0
}

func newLoan() *loan {
	l := &loan{token: make(chan struct{}, 1), released: make(chan struct{}, 1)}
	l.token <- struct{}{}
	return l
}

// borrow waits for the connection. The watcher gives way.
func (l *loan) borrow(ctx context.Context) error {
	l.mu.Lock()
	l.users++
	if l.unwatch != nil {
		l.unwatch()
	}
	l.mu.Unlock()
	select {
	case <-l.token:
		return nil
	case <-ctx.Done():
		l.leave()
		return context.Cause(ctx)
	}
}

func (l *loan) giveBack() {
	l.token <- struct{}{}
	l.leave()
}

func (l *loan) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users--
	if l.users == 0 {
		select {
		case l.released <- struct{}{}:
		default:
		}
	}
}

// begin takes the connection for a watcher unless somebody uses or wants it; whoever comes later
// calls unwatch.
func (l *loan) begin(unwatch func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users > 0 {
		return false
	}
	select {
	case <-l.token:
	default:
		return false
	}
	l.unwatch = unwatch
	return true
}

func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwatch = nil
	l.token <- struct{}{}
}

// watch waits on the idle connection for the server's goodbye and reports it, at once and without a
// query. It gives way to whoever wants the connection, and returns when ctx is done.
func (k *Link) watch(ctx context.Context) {
	for ctx.Err() == nil {
		watching, cancel := context.WithCancel(ctx)
		if !k.loan.begin(cancel) {
			cancel()
			k.released(ctx)
			continue
		}
		if k.conn == nil {
			k.loan.end()
			cancel()
			k.released(ctx) // whoever makes one uses it
			continue
		}
		err := silence(watching, k.conn)
		gone := k.conn.IsClosed()
		if gone {
			k.conn, k.worked = nil, false
		}
		k.loan.end()
		gaveWay := watching.Err() != nil
		cancel()
		if gone && !gaveWay {
			k.lost(err)
		}
	}
}

// released waits until nobody uses the connection any more.
func (k *Link) released(ctx context.Context) {
	select {
	case <-k.loan.released:
	case <-ctx.Done():
	}
}

// silence returns when the connection is lost or ctx is done. Nothing is listened to, so that
// nothing arrives but the end.
func silence(ctx context.Context, conn *pgx.Conn) error {
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
