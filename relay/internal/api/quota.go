package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// testPeriod is the time over which tests are counted.
const testPeriod = time.Minute

// tests are those of the last minute, by tenant. It is safe for concurrent use.
type tests struct {
	mu   sync.Mutex
	made map[string][]time.Time
}

// reserve counts a test of a tenant, and returns how long to wait where it has made its share; 0:
// it has not.
func (t *tests) reserve(tenant string, most int, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	made := t.made[tenant]
	for len(made) > 0 && now.Sub(made[0]) >= testPeriod {
		made = made[1:]
	}
	if len(made) >= most {
		t.made[tenant] = made
		return testPeriod - now.Sub(made[0])
	}
	if t.made == nil {
		t.made = make(map[string][]time.Time)
	}
	t.made[tenant] = append(made, now)
	return 0
}

// mayTest is an error where a tenant has made its share of test events.
func mayTest(s *Server, p *principal) error {
	q := s.config().API.Quotas
	if p.tenant() == "" || q.Tests == 0 {
		return nil
	}
	wait := s.tests.reserve(p.tenant(), q.Tests, s.now())
	if wait <= 0 {
		return nil
	}
	seconds := int(wait/time.Second) + 1
	return problem(http.StatusTooManyRequests, fmt.Sprintf("A tenant may send %d test events a minute: try again in %d seconds, or ask the operator to raise "+
		"tests in the quotas block of the API.", q.Tests, seconds)).with("Retry-After", strconv.Itoa(seconds))
}

// checkQuota holds an endpoint that a tenant's key writes to what its tenant may have. It runs in
// the change that writes it, one of a tenant at a time.
func checkQuota(ctx context.Context, s *Server, c *query.Change, p *principal, e *config.Endpoint) error {
	q := s.config().API.Quotas
	if p.tenant() == "" || q == (config.Quotas{}) {
		return nil
	}
	rows, err := c.OwnEndpoints(ctx, p.tenant())
	if err != nil {
		return err
	}
	others, concurrency := 0, 0
	for i := range rows {
		if rows[i].ID == e.ID {
			continue
		}
		others++
		// One that cannot be read takes nothing: it is sent nothing.
		if other, err := ledger.DecodeEndpoint(rows[i]); err == nil {
			concurrency += other.Concurrency
		}
	}
	var problems []FieldProblem
	if others >= q.Endpoints && q.Endpoints > 0 && others == len(rows) {
		problems = append(problems, at("", "A tenant may have %d endpoints: delete one, or ask the operator to raise endpoints in the quotas block of the API.", q.Endpoints))
	}
	if q.Concurrency > 0 && concurrency+e.Concurrency > q.Concurrency {
		problems = append(problems, at("/concurrency", "The endpoints of a tenant may have a concurrency of %d together, and the others have %d: write less, or ask the operator "+
			"to raise concurrency in the quotas block of the API.", q.Concurrency, concurrency))
	}
	size := e.Expressions()
	for i := range e.Subscriptions {
		if where := e.Subscriptions[i].Where; where != nil {
			size += len(where.Source())
		}
		if body := e.Subscriptions[i].Body; body != nil {
			size += len(body.Source())
		}
	}
	if q.Expressions > 0 && size > q.Expressions {
		problems = append(problems, at("", "The expressions of an endpoint, where, body, url, query and headers, may have %d bytes together, and these have %d: write less, or ask the operator to raise "+
			"expressions in the quotas block of the API.", q.Expressions, size))
	}
	if len(problems) > 0 {
		return invalid(problems...)
	}
	return nil
}
