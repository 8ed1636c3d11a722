package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
)

// The states of an endpoint.
const (
	StatusActive   = "active"
	StatusPaused   = "paused"
	StatusDisabled = "disabled"
)

// ReasonRemoved is the disabled_reason of endpoints that the configuration no longer has.
const ReasonRemoved = "removed from the configuration"

// EndpointState is the part of an endpoint's row that the configuration does not decide.
type EndpointState struct {
	Status         string
	DisabledReason string
	FailingSince   time.Time // zero: healthy
}

// mirrored is an endpoint's row as far as the configuration decides it.
type mirrored struct {
	tenant, name, url, description string
	subscriptions, policy          []byte
}

// subscriptionJSON is an element of tailpost.endpoint.subscriptions.
type subscriptionJSON struct {
	Events []string `json:"events"`
	Where  string   `json:"where,omitempty"`
	Body   string   `json:"body,omitempty"`
}

// policyJSON is tailpost.endpoint.policy. Header values may be credentials, so only the names are kept.
type policyJSON struct {
	Signature    string      `json:"signature"`
	Format       string      `json:"format"`
	Headers      []string    `json:"headers"`
	Timeout      string      `json:"timeout"`
	Concurrency  int         `json:"concurrency"`
	Rate         float64     `json:"rate"`
	Ordering     string      `json:"ordering"`
	Redirects    int         `json:"redirects"`
	Retry        []string    `json:"retry"`
	Circuit      circuitJSON `json:"circuit"`
	ParkAfter    string      `json:"park_after"`
	DisableAfter string      `json:"disable_after"`
}

type circuitJSON struct {
	Failures int    `json:"failures"`
	Reopen   string `json:"reopen"`
}

const mirrorReadSQL = `
SELECT id, COALESCE(tenant, ''), name, url, description, subscriptions::text, policy::text, status,
       COALESCE(disabled_reason, ''), failing_since, source
FROM tailpost.endpoint
WHERE source = 'config' OR id = ANY (@ids::text[])
ORDER BY id
FOR UPDATE`

const mirrorWriteSQL = `
INSERT INTO tailpost.endpoint AS e (
    id, tenant, name, url, description, subscriptions, policy, status, disabled_reason, failing_since, source,
    created_at, updated_at
)
VALUES (
    @id, NULLIF(@tenant, ''), @name, @url, @description, @subscriptions::text::jsonb, @policy::text::jsonb, @status,
    NULLIF(@disabled_reason, ''), @failing_since, 'config', @now, @now
)
ON CONFLICT (id) DO UPDATE
SET tenant = EXCLUDED.tenant,
    name = EXCLUDED.name,
    url = EXCLUDED.url,
    description = EXCLUDED.description,
    subscriptions = EXCLUDED.subscriptions,
    policy = EXCLUDED.policy,
    status = EXCLUDED.status,
    disabled_reason = EXCLUDED.disabled_reason,
    failing_since = EXCLUDED.failing_since,
    updated_at = EXCLUDED.updated_at
WHERE e.source = 'config'`

const mirrorRemoveSQL = `
UPDATE tailpost.endpoint
SET status = 'disabled',
    disabled_reason = @reason,
    updated_at = @now
WHERE id = ANY (@ids::text[])`

// Mirror writes the configuration's endpoints into tailpost.endpoint, as far as they changed, and gives the state of each.
// Endpoints that the configuration no longer has are disabled; their deliveries stay, and they are active again when they
// return. One that the relay disabled is active again when its URL changes. No secret enters the database.
func (l *Ledger) Mirror(ctx context.Context, endpoints []config.Endpoint, now time.Time) (map[string]EndpointState, error) {
	want := make(map[string]mirrored, len(endpoints))
	for i := range endpoints {
		row, err := mirror(&endpoints[i])
		if err != nil {
			return nil, fmt.Errorf("mirror endpoint %q: %w", endpoints[i].ID, err)
		}
		want[endpoints[i].ID] = row
	}
	var states map[string]EndpointState
	err := l.load(ctx, "mirror the endpoints", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			states, err = mirrorAll(ctx, tx, want, now)
			return err
		})
	})
	return states, err
}

func mirrorAll(ctx context.Context, tx pgx.Tx, want map[string]mirrored, now time.Time) (map[string]EndpointState, error) {
	ids := slices.Sorted(maps.Keys(want))
	have, err := readEndpoints(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	states := make(map[string]EndpointState, len(want))
	var writes pgx.Batch
	for _, id := range ids {
		old, exists := have[id]
		if exists && old.source != "config" {
			return nil, fmt.Errorf("endpoint %q exists already, made through the API: give the one in the configuration another name", id)
		}
		row, state := want[id], old.next(want[id].url)
		states[id] = state
		if exists && old.equal(row) && old.state == state {
			continue
		}
		writes.Queue(mirrorWriteSQL, pgx.NamedArgs{
			"id": id, "tenant": row.tenant, "name": row.name, "url": row.url, "description": row.description,
			"subscriptions": string(row.subscriptions), "policy": string(row.policy), "status": state.Status,
			"disabled_reason": state.DisabledReason, "failing_since": nullTime(state.FailingSince), "now": now,
		})
	}
	var gone []string
	for id, old := range have {
		removed := old.state.Status == StatusDisabled && old.state.DisabledReason == ReasonRemoved
		if _, kept := want[id]; !kept && !removed {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		writes.Queue(mirrorRemoveSQL, pgx.NamedArgs{"ids": gone, "reason": ReasonRemoved, "now": now})
	}
	return states, tx.SendBatch(ctx, &writes).Close()
}

// endpointRow is a row of tailpost.endpoint.
type endpointRow struct {
	mirrored

	state  EndpointState
	source string
}

// next is the state of the row once the configuration gives it that URL.
func (r endpointRow) next(url string) EndpointState {
	switch {
	case r.source == "": // there is no row
	case r.state.Status == StatusDisabled && (r.state.DisabledReason == ReasonRemoved || r.url != url):
	default:
		return r.state
	}
	return EndpointState{Status: StatusActive}
}

func readEndpoints(ctx context.Context, tx pgx.Tx, ids []string) (map[string]endpointRow, error) {
	rows, err := tx.Query(ctx, mirrorReadSQL, pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, err
	}
	have := make(map[string]endpointRow)
	var (
		id                    string
		r                     endpointRow
		subscriptions, policy string
		failing               *time.Time
	)
	scans := []any{
		&id, &r.tenant, &r.name, &r.url, &r.description, &subscriptions, &policy, &r.state.Status,
		&r.state.DisabledReason, &failing, &r.source,
	}
	_, err = pgx.ForEachRow(rows, scans, func() error {
		r.subscriptions, r.policy = []byte(subscriptions), []byte(policy)
		r.state.FailingSince = time.Time{}
		if failing != nil {
			r.state.FailingSince = failing.UTC()
		}
		have[id] = r
		return nil
	})
	return have, err
}

func mirror(e *config.Endpoint) (mirrored, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		// The error would quote the URL.
		return mirrored{}, fmt.Errorf("parse its URL")
	}
	u.User = nil
	row := mirrored{tenant: e.Tenant, name: e.Name, url: u.String(), description: e.Description}
	if row.subscriptions, err = json.Marshal(subscriptions(e)); err != nil {
		return mirrored{}, fmt.Errorf("encode its subscriptions: %w", err)
	}
	if row.policy, err = json.Marshal(policy(e)); err != nil {
		return mirrored{}, fmt.Errorf("encode its policy: %w", err)
	}
	return row, nil
}

func subscriptions(e *config.Endpoint) []subscriptionJSON {
	out := make([]subscriptionJSON, 0, len(e.Subscriptions))
	for _, s := range e.Subscriptions {
		sub := subscriptionJSON{Events: append([]string{}, s.Events...)}
		if s.Where != nil {
			sub.Where = s.Where.Source()
		}
		if s.Body != nil {
			sub.Body = s.Body.Source()
		}
		out = append(out, sub)
	}
	return out
}

func policy(e *config.Endpoint) policyJSON {
	p := policyJSON{
		Signature: string(e.Signature), Format: string(e.Format), Headers: append([]string{}, slices.Sorted(maps.Keys(e.Headers))...),
		Timeout: e.Timeout.String(), Concurrency: e.Concurrency, Rate: e.Rate, Ordering: string(e.Ordering),
		Redirects: e.Redirects, Circuit: circuitJSON{Failures: e.Circuit.Failures, Reopen: e.Circuit.Reopen.String()},
		ParkAfter: e.ParkAfter.String(), DisableAfter: e.DisableAfter.String(),
		Retry: make([]string, 0, len(e.Retry.Schedule)),
	}
	for _, d := range e.Retry.Schedule {
		p.Retry = append(p.Retry, d.String())
	}
	return p
}

func (m mirrored) equal(o mirrored) bool {
	return m.tenant == o.tenant && m.name == o.name && m.url == o.url && m.description == o.description &&
		sameJSON(m.subscriptions, o.subscriptions) && sameJSON(m.policy, o.policy)
}

// sameJSON compares documents as jsonb does: neither the order of keys nor blanks count.
func sameJSON(a, b []byte) bool {
	var va, vb any
	if json.Unmarshal(a, &va) != nil || json.Unmarshal(b, &vb) != nil {
		return false
	}
	// Marshal sorts keys.
	ca, errA := json.Marshal(va)
	cb, errB := json.Marshal(vb)
	return errA == nil && errB == nil && bytes.Equal(ca, cb)
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
