package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
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
	Verified       string    // see config.Endpoint.Proof; empty: it has shown nothing
}

// mirrored is an endpoint's row as far as the configuration decides it.
type mirrored struct {
	tenant, name, url, description, origin string
	subscriptions, policy                  []byte
}

const mirrorReadSQL = `
SELECT id, COALESCE(tenant, ''), name, url, description, COALESCE(origin, ''), subscriptions::text, policy::text, status,
       COALESCE(disabled_reason, ''), failing_since, source, COALESCE(verified, ''), removed_paused
FROM tailpost.endpoint
WHERE source = 'config' OR id = ANY (@ids::text[])
ORDER BY id
FOR UPDATE`

const mirrorWriteSQL = `
INSERT INTO tailpost.endpoint AS e (
    id, tenant, name, url, description, origin, subscriptions, policy, status, disabled_reason, failing_since, source,
    created_at, updated_at
)
SELECT m.id, NULLIF(m.tenant, ''), m.name, m.url, m.description, NULLIF(m.origin, ''), m.subscriptions::jsonb,
       m.policy::jsonb, m.status, NULLIF(m.disabled_reason, ''), m.failing_since, 'config', @now::timestamptz, @now::timestamptz
FROM unnest(
    @id::text[], @tenant::text[], @name::text[], @url::text[], @description::text[], @origin::text[],
    @subscriptions::text[], @policy::text[], @status::text[], @disabled_reason::text[], @failing_since::timestamptz[]
) AS m (id, tenant, name, url, description, origin, subscriptions, policy, status, disabled_reason, failing_since)
ON CONFLICT (id) DO UPDATE
SET tenant = EXCLUDED.tenant,
    name = EXCLUDED.name,
    url = EXCLUDED.url,
    description = EXCLUDED.description,
    origin = EXCLUDED.origin,
    subscriptions = EXCLUDED.subscriptions,
    policy = EXCLUDED.policy,
    status = EXCLUDED.status,
    disabled_reason = EXCLUDED.disabled_reason,
    failing_since = EXCLUDED.failing_since,
    version = e.version + 1,
    updated_at = EXCLUDED.updated_at
WHERE e.source = 'config'`

const mirrorRemoveSQL = `
UPDATE tailpost.endpoint
SET status = 'disabled',
    disabled_reason = @reason,
    removed_paused = (status = 'paused'),
    version = version + 1,
    updated_at = @now
WHERE id = ANY (@ids::text[])`

// Endpoints is the table of endpoints and their versions. Its methods are safe for concurrent use.
type Endpoints struct{ link *Link }

// Mirror writes the configuration's endpoints into tailpost.endpoint, as far as they changed, and
// returns the state of each. Endpoints that the configuration no longer has are disabled; their
// deliveries stay, and they are active again when they return, or paused if a person had paused
// them. One that the relay disabled is active again when its URL changes. No secret enters the
// database.
func (e *Endpoints) Mirror(ctx context.Context, endpoints []config.Endpoint, now time.Time) (map[string]EndpointState, error) {
	want := make(map[string]*config.Endpoint, len(endpoints))
	for i := range endpoints {
		want[endpoints[i].ID] = &endpoints[i]
	}
	var states map[string]EndpointState
	err := e.link.Run(ctx, "mirror the endpoints", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			states, err = mirrorAll(ctx, tx, want, now)
			return err
		})
	})
	return states, err
}

// States returns what Mirror returns and writes nothing: it is for relays beside the one that
// mirrors.
func (e *Endpoints) States(ctx context.Context, endpoints []config.Endpoint) (map[string]EndpointState, error) {
	ids := make([]string, len(endpoints))
	for i := range endpoints {
		ids[i] = endpoints[i].ID
	}
	states := make(map[string]EndpointState, len(endpoints))
	err := e.link.Run(ctx, "read the endpoints' state", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			have, err := readEndpoints(ctx, tx, ids)
			for i := range endpoints {
				states[endpoints[i].ID] = have[endpoints[i].ID].next(endpoints[i].ShownURL())
			}
			return err
		})
	})
	return states, err
}

const mirrorTakenSQL = `
SELECT id
FROM tailpost.endpoint
WHERE id = ANY (@ids::text[])
  AND source <> 'config'
ORDER BY id
LIMIT 1`

// Mirrorable returns the error that Mirror would return for endpoints of the configuration whose
// names others have. It writes nothing.
func (e *Endpoints) Mirrorable(ctx context.Context, endpoints []config.Endpoint) error {
	ids := make([]string, len(endpoints))
	for i := range endpoints {
		ids[i] = endpoints[i].ID
	}
	return e.link.Run(ctx, "look at the endpoints", func(ctx context.Context, conn *pgx.Conn) error {
		var id string
		err := conn.QueryRow(ctx, mirrorTakenSQL, pgx.NamedArgs{"ids": ids}).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = takenError(id)
		}
		return err
	})
}

// takenError says that an endpoint of the configuration has the name of one that it does not own.
type takenError string

func (e takenError) Error() string {
	return fmt.Sprintf("endpoint %q exists already, made through the API: give the one in the configuration another name", string(e))
}

// NameTaken reports whether an error of Mirror or Mirrorable is about a name that another endpoint
// has.
func NameTaken(err error) bool { return errors.As(err, new(takenError)) }

func mirrorAll(ctx context.Context, tx pgx.Tx, want map[string]*config.Endpoint, now time.Time) (map[string]EndpointState, error) {
	ids := slices.Sorted(maps.Keys(want))
	have, err := readEndpoints(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	states := make(map[string]EndpointState, len(want))
	var changed mirrorPage
	var compared comparison
	for _, id := range ids {
		old, exists := have[id]
		if exists && old.source != SourceConfig {
			return nil, takenError(id)
		}
		row, err := mirror(want[id])
		if err != nil {
			return nil, fmt.Errorf("mirror endpoint %q: %w", id, err)
		}
		state := old.next(row.url)
		states[id] = state
		if exists && compared.equal(old.mirrored, row) && old.state == state {
			continue
		}
		changed.add(id, row, state)
		if len(changed.ids) == mirrorPageRows {
			if err := changed.write(ctx, tx, now); err != nil {
				return nil, err
			}
		}
	}
	if err := changed.write(ctx, tx, now); err != nil {
		return nil, err
	}
	if gone := removed(have, want); len(gone) > 0 {
		_, err = tx.Exec(ctx, mirrorRemoveSQL, pgx.NamedArgs{"ids": gone, "reason": ReasonRemoved, "now": now})
	}
	return states, err
}

// removed returns the endpoints that the configuration no longer has, of which the table does not
// say so yet.
func removed(have map[string]endpointRow, want map[string]*config.Endpoint) (ids []string) {
	for id, row := range have {
		known := row.state.Status == StatusDisabled && row.state.DisabledReason == ReasonRemoved
		if _, kept := want[id]; !kept && !known {
			ids = append(ids, id)
		}
	}
	return ids
}

// mirrorPageRows bounds what is in memory of the rows on their way.
const mirrorPageRows = 500

// mirrorPage is rows to write in one statement, by column.
type mirrorPage struct {
	ids, tenants, names, urls, descriptions, origins, subscriptions, policies, statuses, reasons []string
	failingSince                                                                                 []*time.Time
}

func (p *mirrorPage) add(id string, row mirrored, state EndpointState) {
	p.ids = append(p.ids, id)
	p.tenants, p.names, p.urls = append(p.tenants, row.tenant), append(p.names, row.name), append(p.urls, row.url)
	p.descriptions, p.origins = append(p.descriptions, row.description), append(p.origins, row.origin)
	p.subscriptions = append(p.subscriptions, string(row.subscriptions))
	p.policies = append(p.policies, string(row.policy))
	p.statuses, p.reasons = append(p.statuses, state.Status), append(p.reasons, state.DisabledReason)
	p.failingSince = append(p.failingSince, nullTime(state.FailingSince))
}

// write writes the page and empties it.
func (p *mirrorPage) write(ctx context.Context, tx pgx.Tx, now time.Time) error {
	if len(p.ids) == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, mirrorWriteSQL, pgx.NamedArgs{
		"id": p.ids, "tenant": p.tenants, "name": p.names, "url": p.urls, "description": p.descriptions, "origin": p.origins,
		"subscriptions": p.subscriptions, "policy": p.policies, "status": p.statuses, "disabled_reason": p.reasons,
		"failing_since": p.failingSince, "now": now,
	})
	if err == nil && tag.RowsAffected() < int64(len(p.ids)) {
		// One was made through the API since they were read.
		var id string
		if err = tx.QueryRow(ctx, mirrorTakenSQL, pgx.NamedArgs{"ids": p.ids}).Scan(&id); err == nil {
			err = takenError(id)
		}
	}
	*p = mirrorPage{}
	return err
}

// endpointRow is a row of tailpost.endpoint.
type endpointRow struct {
	mirrored

	state         EndpointState
	source        string
	removedPaused bool // see EndpointRow.RemovedPaused
}

// next is the state of the row once the configuration has that URL.
func (r endpointRow) next(url string) EndpointState {
	switch {
	case r.source == "": // there is no row
	case r.state.Status == StatusDisabled && (r.state.DisabledReason == ReasonRemoved || r.url != url):
	default:
		return r.state
	}
	next := EndpointState{Status: StatusActive, Verified: r.state.Verified}
	if r.state.DisabledReason == ReasonRemoved && r.removedPaused {
		next.Status = StatusPaused
	}
	return next
}

func readEndpoints(ctx context.Context, tx pgx.Tx, ids []string) (map[string]endpointRow, error) {
	rows, err := tx.Query(ctx, mirrorReadSQL, pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, err
	}
	have := make(map[string]endpointRow)
	var (
		id      string
		r       endpointRow
		failing *time.Time
	)
	scans := []any{
		&id, &r.tenant, &r.name, &r.url, &r.description, &r.origin, &r.subscriptions, &r.policy, &r.state.Status,
		&r.state.DisabledReason, &failing, &r.source, &r.state.Verified, &r.removedPaused,
	}
	_, err = pgx.ForEachRow(rows, scans, func() error {
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
	// Requests use the configuration's URL; the row's is for people.
	row := mirrored{tenant: e.Tenant, name: e.Name, url: e.ShownURL(), description: e.Description, origin: origin(e.Origin)}
	open := *e
	open.Query = e.ShownQuery()
	var err error
	row.subscriptions, row.policy, err = EncodeEndpoint(open)
	return row, err
}

func origin(o config.Origin) string {
	if o.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// comparison tells rows that differ from those that do not. Endpoints of one configuration mostly
// have the same policy, and many the same subscriptions.
type comparison struct{ subscriptions, policy lastSame }

func (c *comparison) equal(m, o mirrored) bool {
	return m.tenant == o.tenant && m.name == o.name && m.url == o.url && m.description == o.description && m.origin == o.origin &&
		c.subscriptions.of(m.subscriptions, o.subscriptions) && c.policy.of(m.policy, o.policy)
}

// lastSame holds the last two documents that were the same.
type lastSame struct{ a, b []byte }

func (l *lastSame) of(a, b []byte) bool {
	if bytes.Equal(a, l.a) && bytes.Equal(b, l.b) {
		return true
	}
	same := sameJSON(a, b)
	if same {
		l.a, l.b = a, b
	}
	return same
}

// sameJSON compares documents as jsonb does: neither the order of keys nor blanks count.
func sameJSON(a, b []byte) bool {
	var va, vb any
	return json.Unmarshal(a, &va) == nil && json.Unmarshal(b, &vb) == nil && reflect.DeepEqual(va, vb)
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const pinOldestSQL = `
UPDATE tailpost.endpoint
SET policy = policy || jsonb_build_object('version', @version::text),
    version = version + 1,
    updated_at = @now
WHERE source = 'api'
  AND NOT policy ? 'version'`

// PinOldest pins the endpoints of the API that pin no version, because they are of before there
// were any, to the oldest one, so that they stay with it when it is no longer the oldest. It
// returns how many there were.
func (e *Endpoints) PinOldest(ctx context.Context, oldest string, now time.Time) (pinned int64, err error) {
	err = e.link.Run(ctx, "pin endpoints to a version", func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, pinOldestSQL, pgx.NamedArgs{"version": oldest, "now": now})
		if err != nil {
			return fmt.Errorf("pin endpoints to version %q: %w", oldest, err)
		}
		pinned = tag.RowsAffected()
		return nil
	})
	return pinned, err
}

const describeSQL = `
INSERT INTO tailpost.event_type AS t (name, description, schema, example, deprecated, version, created_at, updated_at)
SELECT m.name, m.description, m.schema::json, m.example::json, m.deprecated, 1, @now::timestamptz, @now::timestamptz
FROM unnest(@name::text[], @description::text[], @schema::text[], @example::text[], @deprecated::boolean[])
    AS m (name, description, schema, example, deprecated)
ON CONFLICT (name) DO UPDATE
SET description = EXCLUDED.description,
    schema = EXCLUDED.schema,
    example = EXCLUDED.example,
    deprecated = EXCLUDED.deprecated,
    version = t.version + 1,
    updated_at = EXCLUDED.updated_at
WHERE (t.description, t.schema::text, t.example::text, t.deprecated)
    IS DISTINCT FROM (EXCLUDED.description, EXCLUDED.schema::text, EXCLUDED.example::text, EXCLUDED.deprecated)`

// Describe writes the types that a configuration describes into the catalogue, as far as they
// differ, and returns how many did. Others stay, and so does what is said of older versions.
func (e *Endpoints) Describe(ctx context.Context, types []config.EventType, now time.Time) (changed int64, err error) {
	text := func(raw []byte) *string {
		if raw == nil {
			return nil
		}
		s := string(raw)
		return &s
	}
	var names, descriptions []string
	var schemas, examples []*string
	var deprecated []bool
	for i := range types {
		t := &types[i]
		names, descriptions, deprecated = append(names, t.Name), append(descriptions, t.Description), append(deprecated, t.Deprecated)
		schemas, examples = append(schemas, text(t.Schema)), append(examples, text(t.Example))
	}
	err = e.link.Run(ctx, "describe the event types", func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, describeSQL, pgx.NamedArgs{
			"name": names, "description": descriptions, "schema": schemas, "example": examples, "deprecated": deprecated, "now": now,
		})
		if err != nil {
			return fmt.Errorf("describe the event types: %w", err)
		}
		changed = tag.RowsAffected()
		return nil
	})
	return changed, err
}
