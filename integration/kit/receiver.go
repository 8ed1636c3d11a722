package kit

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Request is a request as a receiver got it.
type Request struct {
	Method string
	Path   string
	URI    string // path and query as the request line has them
	ID     string // webhook-id
	Header http.Header
	Body   []byte
	At     time.Time
	Number int // among the requests to this path for this event, from 1
	Status int // what it was answered with; 0: not at all, or not yet

	Answered time.Time // when Status was decided
}

// Behaviour answers a request: it returns the status to answer with, or 0 after it has dealt with
// the connection itself. It is called for one request at a time unless it waits, and only waits
// within ctx.
type Behaviour func(ctx context.Context, w http.ResponseWriter, r Request) int

// Receiver is an HTTP server on loopback that records what it gets and behaves, path by path, as On
// sets.
type Receiver struct {
	server *httptest.Server
	ctx    context.Context //nolint:containedctx // Ends with the test, and with it every behaviour that waits.

	mu         sync.Mutex
	behaviours map[string]Behaviour
	requests   []*Request
	open       map[net.Conn]bool
	numbers    map[[2]string]int // requests by path and event
}

// NewReceiver starts a receiver that answers 200 to everything. It ends with the test.
func NewReceiver(t TB) *Receiver {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &Receiver{
		ctx: ctx, behaviours: make(map[string]Behaviour), numbers: make(map[[2]string]int), open: make(map[net.Conn]bool),
	}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	r.server.Config.ConnState = r.noteConn
	r.server.Start()
	t.Cleanup(func() {
		cancel()
		r.server.CloseClientConnections()
		r.server.Close()
	})
	return r
}

// URL is the address of a path.
func (r *Receiver) URL(path string) string { return r.server.URL + path }

// On sets how a path behaves from now on, and returns its URL.
func (r *Receiver) On(path string, b Behaviour) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behaviours[path] = b
	return r.URL(path)
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the relay was killed within its request: nothing arrived
	}
	got := &Request{Method: req.Method, Path: req.URL.Path, URI: req.RequestURI, ID: req.Header.Get("Webhook-Id"), Header: req.Header.Clone(), Body: body, At: time.Now()}
	r.mu.Lock()
	key := [2]string{got.Path, got.ID}
	r.numbers[key]++
	got.Number = r.numbers[key]
	r.requests = append(r.requests, got)
	behave := r.behaviours[got.Path]
	r.mu.Unlock()

	status := http.StatusOK
	answer := &answer{ResponseWriter: w}
	if behave != nil {
		ctx, cancel := context.WithCancel(req.Context())
		defer context.AfterFunc(r.ctx, cancel)()
		status = behave(ctx, answer, *got)
		cancel()
	}
	// Noted first: whoever has the answer finds the note.
	r.mu.Lock()
	got.Status, got.Answered = status, time.Now()
	r.mu.Unlock()
	if status != 0 && !answer.begun {
		w.WriteHeader(status)
	}
}

// answer notes whether a behaviour has begun to answer by itself.
type answer struct {
	http.ResponseWriter

	begun bool
}

// WriteHeader notes that the answer begins.
func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

// Hijack notes that the behaviour answers without HTTP.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.begun = true
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Requests are the requests to a path so far, in the order of their arrival. An empty path: to all.
func (r *Receiver) Requests(path string) []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var requests []Request
	for _, got := range r.requests {
		if path == "" || got.Path == path {
			requests = append(requests, *got)
		}
	}
	return requests
}

// Connections is how many connections are open. None: every request that was ever sent is dealt
// with.
func (r *Receiver) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

func (r *Receiver) noteConn(conn net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch state {
	case http.StateNew, http.StateActive, http.StateIdle:
		r.open[conn] = true
	case http.StateHijacked, http.StateClosed:
		delete(r.open, conn)
	}
}

// IDs are the event ids of the requests to a path so far, in the order of their arrival.
func (r *Receiver) IDs(path string) []string {
	requests := r.Requests(path)
	ids := make([]string, len(requests))
	for i := range requests {
		ids[i] = requests[i].ID
	}
	return ids
}

// Await waits until a path has got at least n requests, for as long as more come, and returns them.
func (r *Receiver) Await(t TB, path string, n int) []Request {
	t.Helper()
	var requests []Request
	Progress(t, func() (int, error) {
		if requests = r.Requests(path); len(requests) < n {
			return len(requests), fmt.Errorf("%d of %d requests arrived at %s", len(requests), n, path)
		}
		return n, nil
	})
	return requests
}

// AwaitIDs waits until a path has got every one of these events at least once, for as long as more
// of them come.
func (r *Receiver) AwaitIDs(t TB, path string, ids ...string) {
	t.Helper()
	missing := make(map[string]bool, len(ids))
	for _, id := range ids {
		missing[id] = true
	}
	seen := 0 // requests that were looked at: a look at thousands, again and again, is felt by who is waited for
	Progress(t, func() (int, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, got := range r.requests[seen:] {
			if path == "" || got.Path == path {
				delete(missing, got.ID)
			}
		}
		if seen = len(r.requests); len(missing) > 0 {
			return -len(missing), fmt.Errorf("%d of %d events have not arrived at %s", len(missing), len(ids), path)
		}
		return 0, nil
	})
}

// Statuses answers the first requests for an event with these in turn, and all later ones with the
// last.
func Statuses(statuses ...int) Behaviour {
	return func(_ context.Context, _ http.ResponseWriter, r Request) int {
		return statuses[min(r.Number, len(statuses))-1]
	}
}

// Respond answers with a status, a body, and headers given as names and values in turn.
func Respond(status int, body string, headers ...string) Behaviour {
	return func(_ context.Context, w http.ResponseWriter, _ Request) int {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the relay may be gone
		return status
	}
}

// Gate answers nothing until open is called, and from then on with 200.
func Gate() (b Behaviour, open func()) {
	opened := make(chan struct{})
	b = func(ctx context.Context, _ http.ResponseWriter, _ Request) int {
		select {
		case <-opened:
			return http.StatusOK
		case <-ctx.Done():
			return 0
		}
	}
	return b, sync.OnceFunc(func() { close(opened) })
}

// Hang never answers.
func Hang() Behaviour {
	return func(ctx context.Context, _ http.ResponseWriter, _ Request) int {
		<-ctx.Done()
		return 0
	}
}

// Slow answers with next after a delay.
func Slow(delay time.Duration, next Behaviour) Behaviour {
	return func(ctx context.Context, w http.ResponseWriter, r Request) int {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			return next(ctx, w, r)
		case <-ctx.Done():
			return 0
		}
	}
}

// Reset breaks the connection off without an answer.
func Reset() Behaviour {
	return func(_ context.Context, w http.ResponseWriter, _ Request) int {
		if err := reset(w); err != nil {
			return http.StatusInternalServerError // a failure all the same
		}
		return 0
	}
}

func reset(w http.ResponseWriter) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the close is a polite one, which fails the request too
	}
	return conn.Close()
}

// Random behaves as one of several, chosen by a seeded generator for each request.
func Random(seed uint64, behaviours ...Behaviour) Behaviour {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // repeatable by intent
	return func(ctx context.Context, w http.ResponseWriter, r Request) int {
		mu.Lock()
		chosen := behaviours[random.IntN(len(behaviours))]
		mu.Unlock()
		return chosen(ctx, w, r)
	}
}
