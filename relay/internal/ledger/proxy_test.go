package ledger_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// cut is where the proxy ends a connection that records.
type cut int

const (
	never     cut = iota
	unsent        // before the pipeline's Sync reaches the server
	unheard       // once the server has answered, before the answer reaches the relay
	abandoned     // as soon as the Sync has reached the server, which goes on with the pipeline
	committed     // like unheard, of the next COMMIT of a transaction that is no pipeline
	half          // once the server has answered, when the relay has heard of the first row and no more
)

// proxy passes connections to Postgres on, counts what the frontend says and cuts where it is told
// to.
type proxy struct {
	url    string
	server string

	mu     sync.Mutex
	counts map[byte]int // frontend messages by type
	cut    cut          // of the next recording pipeline
	stays  bool         // and of all that follow
	conns  []net.Conn
}

func newProxy(t *testing.T, upstream string) *proxy {
	t.Helper()
	u, err := url.Parse(upstream)
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{server: u.Host, counts: make(map[byte]int)}
	u.Host = listener.Addr().String()
	p.url = u.String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

// next makes the next recording pipeline end like that.
func (p *proxy) next(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = c
}

// always makes every recording pipeline end like that from now on.
func (p *proxy) always(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.stays = c, true
}

// take returns the counts since the last call.
func (p *proxy) take() map[byte]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := p.counts
	p.counts = make(map[byte]int)
	return counts
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server) //nolint:noctx // ends with the test, which closes all connections
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	back := &answers{client: client}
	var running sync.WaitGroup
	running.Go(func() {
		_, _ = io.Copy(back, server)
		_ = client.Close()
		_ = server.Close()
	})
	if !p.forward(client, server, back) {
		_ = server.Close()
	}
	_ = client.Close()
	running.Wait()
}

// forward passes what the frontend says on; true means that the server is left to itself.
func (p *proxy) forward(client io.Reader, server io.Writer, back *answers) bool {
	records, startup := false, true
	for {
		message, err := readMessage(client, startup)
		if err != nil {
			return false
		}
		if startup {
			startup = false
			if _, err := server.Write(message); err != nil {
				return false
			}
			continue
		}
		kind := message[0]
		p.mu.Lock()
		p.counts[kind]++
		todo := never
		records = records || kind == 'B' && bytes.HasPrefix(message[6:], []byte("tailpost_guard\x00"))
		if kind == 'S' && records {
			todo, records = p.cut, false
			if !p.stays {
				p.cut = never
			}
		}
		if p.cut == committed && kind == 'Q' && bytes.HasPrefix(message[5:], []byte("commit")) {
			todo, p.cut = unheard, never
		}
		p.mu.Unlock()
		if todo == unsent {
			return false
		}
		switch todo {
		case unheard:
			back.drop()
		case half:
			back.halve()
		case never, unsent, abandoned, committed:
		}
		if _, err := server.Write(message); err != nil {
			return false
		}
		if todo == abandoned {
			back.drop()
			return true
		}
	}
}

// readMessage reads a message of the frontend; the first one has no type.
func readMessage(client io.Reader, startup bool) ([]byte, error) {
	head := 5
	if startup {
		head = 4
	}
	message := make([]byte, head)
	if _, err := io.ReadFull(client, message); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(message[head-4:])-4)
	_, err := io.ReadFull(client, body)
	return slices.Concat(message, body), err
}

// answers passes what the server says on, until drop: from then on the first answer ends the
// connection.
type answers struct {
	client net.Conn

	mu      sync.Mutex
	dropped bool
	halved  bool // but for what comes up to the first row
}

func (a *answers) halve() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped, a.halved = true, true
}

func (a *answers) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped = true
}

func (a *answers) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.dropped {
		return a.client.Write(b)
	}
	for rest := b; a.halved && len(rest) > 4; {
		message := rest[:1+binary.BigEndian.Uint32(rest[1:])] // the server sends a short answer in one piece
		if message[0] == 'C' {                                // a COPY in between had it send the row before
			a.halved = false
			break
		}
		if _, err := a.client.Write(message); err != nil {
			return 0, err
		}
		a.halved, rest = message[0] != 'D', rest[len(message):]
	}
	// ReadyForQuery is the last message of an answer and the only one with this beginning.
	if bytes.Contains(b, []byte{'Z', 0, 0, 0, 5}) {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}
