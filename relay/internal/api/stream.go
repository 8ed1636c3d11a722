package api

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// The bounds of live tails.
const (
	tailEvery      = 250 * time.Millisecond
	tailRate       = 50 // attempts a second that one tail shows
	tailBurst      = 100
	tailBeat       = 15 * time.Second // a comment tells that the connection lives
	tailWrite      = 10 * time.Second // a reader that takes nothing for so long is gone
	tailRevalidate = 5 * time.Second  // whether the key is still there, with its secret
	maxTails       = 16
	maxTenantTails = 4  // of one tenant
	maxBoundTails  = 12 // of all tenants: what they leave is the operator's
)

type streamInput struct {
	AttemptFilter

	EndpointID  string `query:"endpoint_id" maxLength:"200" doc:"Only to this endpoint."`
	After       string `query:"after" maxLength:"200" doc:"The after of a page of the list, or the id of an event of this stream: what was recorded since comes first. Last-Event-ID is more than it."`
	LastEventID string `header:"Last-Event-ID" maxLength:"200" doc:"The id of the last event that arrived: what was recorded since comes first."`
}

// tails counts the live tails that are open. No tenant takes all of them from the others.
type tails struct {
	mu   sync.Mutex
	open int
	of   map[string]int // by tenant; an empty one: by keys that are bound to none
}

func (t *tails) begin(tenant string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= maxTails || tenant != "" && (t.of[tenant] >= maxTenantTails || t.open-t.of[""] >= maxBoundTails) {
		return false
	}
	if t.of == nil {
		t.of = make(map[string]int)
	}
	t.open++
	t.of[tenant]++
	return true
}

func (t *tails) end(tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	if t.of[tenant]--; t.of[tenant] == 0 {
		delete(t.of, tenant)
	}
}

func streamAttempts(ctx context.Context, s *Server, p *principal, in *streamInput) (*huma.StreamResponse, error) {
	place, name := in.LastEventID, "Last-Event-ID"
	if place == "" {
		place, name = in.After, "after"
	}
	after, err := readCursor[query.TailPosition](place)
	if err != nil {
		return nil, invalid(of(name, "It is not the id of an event of this stream."))
	}
	q, err := attemptQuery(s, &in.AttemptFilter, p, &Paged{})
	if err != nil {
		return nil, err
	}
	q.EndpointID = in.EndpointID
	if !s.tails.begin(p.tenant()) {
		return nil, problem(http.StatusTooManyRequests, "Too many live tails are open: close one.").with("Retry-After", "10")
	}
	tail, err := s.store.Tail(ctx, q, after, s.now())
	if err != nil {
		s.tails.end(p.tenant())
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer s.tails.end(p.tenant())
		_, w := humago.Unwrap(hc)
		live := liveTail{server: s, principal: p, tail: tail, w: w, control: http.NewResponseController(w), allowed: tailBurst}
		live.run(hc.Context())
	}}, nil
}

// liveTail sends attempts as they are recorded.
type liveTail struct {
	server    *Server
	principal *principal
	tail      *query.Tail
	w         http.ResponseWriter
	control   *http.ResponseController
	allowed   float64 // attempts that may be sent now
	skipped   int
	quiet     time.Duration // since something was sent
	trusted   time.Duration // since the key was looked at
}

// run sends until the reader leaves, the key is gone or the server stops.
func (l *liveTail) run(ctx context.Context) {
	h := l.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would wait for more
	if l.send("retry: 2000\n\n") != nil {
		return
	}
	ticker := time.NewTicker(tailEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.server.stopping:
			return
		case <-ticker.C:
		}
		if !l.may(ctx) || l.step(ctx) != nil {
			return
		}
	}
}

// may reports whether the caller's key is still the one with which the stream began: with the same
// secret, too.
func (l *liveTail) may(ctx context.Context) bool {
	if l.trusted += tailEvery; l.trusted < tailRevalidate || l.principal.operator {
		return true
	}
	l.trusted = 0
	key, now, err := l.server.keyByID(ctx, l.principal.key.ID)
	if err != nil || key.Tenant != l.principal.key.Tenant || subtle.ConstantTimeCompare(l.principal.fingerprint, now) != 1 {
		return false
	}
	l.principal.key = key // with the scopes of now
	return l.principal.may(streamScope)
}

// step sends what was recorded meanwhile.
func (l *liveTail) step(ctx context.Context) error {
	attempts, err := l.tail.Next(ctx, l.server.now())
	if err != nil {
		// The reader comes back with its Last-Event-ID.
		l.server.log.Debug().Err(err).Msg("a live tail ended")
		return err
	}
	l.allowed = min(l.allowed+tailRate*tailEvery.Seconds(), tailBurst)
	var text []byte
	for i := range attempts {
		if l.allowed < 1 {
			l.skipped += len(attempts) - i
			break
		}
		l.allowed--
		if text, err = l.appendAttempt(text, &attempts[i]); err != nil {
			return err
		}
	}
	if l.skipped > 0 && l.allowed >= 1 {
		text = fmt.Appendf(text, "event: skipped\ndata: {\"skipped\":%d}\n\n", l.skipped)
		l.skipped = 0
	}
	if len(text) > 0 {
		// The id comes last: whoever got all of it has seen all before it.
		id, err := cursor(l.tail.Position())
		if err != nil {
			return err
		}
		text = fmt.Appendf(text, "id: %s\nevent: seen\ndata: {}\n\n", id)
	} else if l.quiet += tailEvery; l.quiet >= tailBeat {
		text = append(text, ": alive\n\n"...)
	}
	if len(text) == 0 {
		return nil
	}
	l.quiet = 0
	return l.send(string(text))
}

func (l *liveTail) appendAttempt(text []byte, a *outbox.Attempt) ([]byte, error) {
	data, err := json.Marshal(showAttempt(l.principal, a))
	if err != nil {
		return nil, fmt.Errorf("encode the attempt: %w", err)
	}
	return fmt.Appendf(text, "event: attempt\ndata: %s\n\n", data), nil
}

func (l *liveTail) send(text string) error {
	if err := l.control.SetWriteDeadline(time.Now().Add(tailWrite)); err != nil {
		l.server.log.Debug().Err(err).Msg("write deadline of a live tail not set")
	}
	if _, err := l.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("send to a live tail: %w", err)
	}
	return l.control.Flush()
}
