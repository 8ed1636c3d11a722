package kit

import (
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"
)

// Proxy is a stretch of network between a relay and Postgres that can be cut, held up and slowed
// down. It forwards TCP on loopback and ends with the test.
type Proxy struct {
	listener net.Listener
	backend  string
	ctx      context.Context //nolint:containedctx // Ends with the test, and with it everything that waits.

	mu      sync.Mutex
	random  *rand.Rand
	conns   map[net.Conn]struct{}
	blocked chan struct{} // non-nil while nothing passes; closed when it does again
	delay   time.Duration // of each piece that passes
	piece   int           // the most bytes of one
	refuse  bool
	clients int // that were let in
}

// NewProxy starts a proxy to the server that a database URL names, and returns it with the URL that
// leads through it.
func NewProxy(t TB, database string, seed uint64) (p *Proxy, through string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatalf("parse a database URL: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		t.Fatalf("listen: %v", err)
	}
	p = &Proxy{
		listener: listener, backend: u.Host, ctx: ctx, conns: make(map[net.Conn]struct{}), piece: proxyPiece,
		random: rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // repeatable by intent
	}
	var running sync.WaitGroup
	running.Go(func() { p.accept(&running) })
	t.Cleanup(func() {
		cancel()
		_ = listener.Close() // it is closed, whatever it says
		p.Cut()
		running.Wait()
	})
	u.Host = listener.Addr().String()
	return p, u.String()
}

// proxyPiece is how much passes at once at most.
const proxyPiece = 32 << 10

func (p *Proxy) accept(running *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		running.Go(func() { p.serve(client) })
	}
}

// serve forwards one connection until an end of it is closed.
func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.admit(client) {
		return
	}
	p.mu.Lock()
	p.clients++
	p.mu.Unlock()
	server, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", p.backend)
	if err != nil {
		return // Postgres is down, and so the client learns
	}
	defer p.drop(server)
	if !p.admit(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { p.forward(client, server) })
	p.forward(server, client)
	back.Wait()
}

// admit takes note of a connection, unless all are refused.
func (p *Proxy) admit(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.ctx.Err() != nil {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

// Clients returns how many connections there have been.
func (p *Proxy) Clients() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clients
}

func (p *Proxy) drop(conn net.Conn) {
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	_ = conn.Close() // cut, perhaps
}

// forward passes bytes on until either end is closed, and then closes both.
func (p *Proxy) forward(to, from net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buffer := make([]byte, proxyPiece)
	for {
		n, err := from.Read(buffer)
		for sent := 0; sent < n; {
			piece := min(n-sent, p.pass())
			if _, err := to.Write(buffer[sent : sent+piece]); err != nil {
				return
			}
			sent += piece
		}
		if err != nil {
			return
		}
	}
}

// pass waits until something may pass, and returns how much.
func (p *Proxy) pass() int {
	p.mu.Lock()
	blocked, delay, piece := p.blocked, p.delay, p.piece
	if delay > 0 {
		delay = time.Duration(p.random.Int64N(int64(delay)))
		piece = 1 + p.random.IntN(piece)
	}
	p.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-p.ctx.Done():
		}
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.ctx.Done():
		}
	}
	return piece
}

// Cut breaks every connection off; new ones are served.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the close that follows is then a reset
		}
		_ = conn.Close()
	}
	clear(p.conns)
	p.release()
}

// Refuse sets whether new connections are refused.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// Block lets nothing pass, in neither direction, while the connections stay; Unblock ends that.
func (p *Proxy) Block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blocked == nil {
		p.blocked = make(chan struct{})
	}
}

// Unblock lets pass what Block held up.
func (p *Proxy) Unblock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
}

func (p *Proxy) release() {
	if p.blocked != nil {
		close(p.blocked)
		p.blocked = nil
	}
}

// Slow lets small pieces pass, each after a random delay of at most delay. 0: as fast as the
// machine.
func (p *Proxy) Slow(delay time.Duration, piece int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.piece = delay, proxyPiece
	if delay > 0 {
		p.piece = piece
	}
}
