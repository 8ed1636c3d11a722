package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// marks tell when the frontier has passed everything that was committed at some moment: a mark is a logical message of our
// own, and what was committed before it was sent comes before it in the stream.
type marks struct {
	ledger *ledger.Ledger
	epoch  int64

	mu      sync.Mutex
	sent    int64
	waiting map[string]chan outbox.LSN // sent, not seen in the stream yet
	seen    []mark                     // in the order of their ends
}

type mark struct {
	end    outbox.LSN
	passed chan outbox.LSN
}

func newMarks(led *ledger.Ledger, epoch int64) *marks {
	return &marks{ledger: led, epoch: epoch, waiting: make(map[string]chan outbox.LSN)}
}

// settle returns once everything that was committed before the call is settled and that is recorded. It gives the end of
// the mark's transaction.
func (m *marks) settle(ctx context.Context) (outbox.LSN, error) {
	m.mu.Lock()
	m.sent++
	// The epoch tells our marks from those of an earlier hold, which the stream may bring too.
	name := strconv.FormatInt(m.epoch, 10) + "/" + strconv.FormatInt(m.sent, 10)
	passed := make(chan outbox.LSN, 1)
	m.waiting[name] = passed
	m.mu.Unlock()

	content, err := json.Marshal(envelope{Mark: name})
	if err != nil {
		return 0, fmt.Errorf("encode a mark: %w", err)
	}
	if err := m.ledger.Mark(ctx, string(content)); err != nil {
		return 0, err
	}
	select {
	case end := <-passed:
		return end, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// pass takes in that the stream brought a mark, in a transaction that ends at end.
func (m *marks) pass(name string, end outbox.LSN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if passed, ok := m.waiting[name]; ok {
		delete(m.waiting, name)
		m.seen = append(m.seen, mark{end: end, passed: passed})
	}
}

// settled takes in how far everything is settled and recorded.
func (m *marks) settled(frontier outbox.LSN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.seen) > 0 && m.seen[0].end <= frontier {
		m.seen[0].passed <- m.seen[0].end
		m.seen = m.seen[1:]
	}
}
