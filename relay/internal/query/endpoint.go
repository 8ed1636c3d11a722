package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

const endpointColumns = `
SELECT id, COALESCE(tenant, '') AS tenant, name, url, description, subscriptions, policy, status,
       COALESCE(disabled_reason, '') AS disabled_reason, failing_since, source, secrets,
       COALESCE(secret_prefix, '') AS secret_prefix, COALESCE(origin, '') AS origin, version, created_at, updated_at,
       COALESCE(verified, '') AS verified, COALESCE(verify_error, '') AS verify_error, removed_paused
FROM tailpost.endpoint`

func scanEndpoint(row pgx.CollectableRow) (e ledger.EndpointRow, err error) {
	var failing *time.Time
	err = row.Scan(&e.ID, &e.Tenant, &e.Name, &e.URL, &e.Description, &e.Subscriptions, &e.Policy, &e.Status,
		&e.DisabledReason, &failing, &e.Source, &e.Secrets, &e.SecretPrefix, &e.Origin, &e.Version, &e.CreatedAt, &e.UpdatedAt,
		&e.Verified, &e.VerifyError, &e.RemovedPaused)
	if failing != nil {
		e.FailingSince = failing.UTC()
	}
	return e, err
}

// EndpointQuery asks for a page of endpoints, newest first.
type EndpointQuery struct {
	Tenant  string // only this tenant's; empty: all
	Name    string // only those of this name, whatever its case
	Status  string
	Source  string
	Trouble bool     // only those that are not active, or that fail
	After   Position // the last one of the page before; zero: from the start
	Limit   int
}

// Position is a place in a list that is ordered by time, then id.
type Position struct {
	At time.Time
	ID string
}

// timeOrNull is t as an argument; nil for the zero time.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// troubleSQL is the condition of the index that has the endpoints in trouble.
const troubleSQL = "(status <> 'active' OR failing_since IS NOT NULL)"

// Endpoints returns a page.
func (s endpoints) Endpoints(ctx context.Context, q EndpointQuery) (page []ledger.EndpointRow, err error) {
	err = s.read(ctx, "list endpoints", func(ctx context.Context, tx pgx.Tx) (err error) {
		trouble := ""
		if q.Trouble {
			trouble = "\n  AND " + troubleSQL
		}
		page, err = many(ctx, tx, endpointColumns+`
WHERE (@tenant::text = '' OR tenant = @tenant)
  AND (@name::text = '' OR lower(name) = lower(@name))
  AND (@status::text = '' OR status = @status)
  AND (@source::text = '' OR source = @source)`+trouble+`
  AND (@at::timestamptz IS NULL OR (created_at, id) < (@at, @id))
ORDER BY created_at DESC, id DESC
LIMIT @limit`, pgx.NamedArgs{
			"tenant": q.Tenant, "name": q.Name, "status": q.Status, "source": q.Source, "at": timeOrNull(q.After.At), "id": q.After.ID,
			"limit": q.Limit,
		}, scanEndpoint)
		return err
	})
	return page, err
}

const endpointSQL = endpointColumns + `
WHERE id = @id
  AND (@tenant::text = '' OR tenant = @tenant)`

// Endpoint returns one endpoint.
func (s endpoints) Endpoint(ctx context.Context, tenant, id string) (row ledger.EndpointRow, err error) {
	err = s.read(ctx, "read the endpoint", func(ctx context.Context, tx pgx.Tx) (err error) {
		row, err = one(ctx, tx, endpointSQL, pgx.NamedArgs{"id": id, "tenant": tenant}, scanEndpoint)
		return err
	})
	return row, err
}

// SigningEndpoints returns the sealed secrets of every endpoint that signs with a key pair of its
// own.
func (s endpoints) SigningEndpoints(ctx context.Context) (rows []ledger.EndpointRow, err error) {
	err = s.read(ctx, "read the signing keys", func(ctx context.Context, tx pgx.Tx) (err error) {
		rows, err = many(ctx, tx, endpointColumns+`
WHERE secret_prefix LIKE 'whsk\_%'
  AND secrets IS NOT NULL
ORDER BY created_at, id`, pgx.NamedArgs{}, scanEndpoint)
		return err
	})
	return rows, err
}

// Endpoint returns one endpoint and keeps others from changing it.
func (c endpointChanges) Endpoint(ctx context.Context, tenant, id string) (ledger.EndpointRow, error) {
	return one(ctx, c.tx, endpointSQL+"\nFOR UPDATE", pgx.NamedArgs{"id": id, "tenant": tenant}, scanEndpoint)
}

// OwnEndpoints returns the endpoints that were made through the API for a tenant. Until the change
// ends, others that ask for the same tenant wait.
func (c endpointChanges) OwnEndpoints(ctx context.Context, tenant string) ([]ledger.EndpointRow, error) {
	args := pgx.NamedArgs{"tenant": tenant}
	if _, err := c.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('tailpost quota ' || @tenant::text, 0))`, args); err != nil {
		return nil, fmt.Errorf("wait for other changes of the tenant: %w", err)
	}
	return many(ctx, c.tx, endpointColumns+`
WHERE tenant = @tenant
  AND source = 'api'`, args, scanEndpoint)
}

// NamedEndpoints returns the endpoints of a tenant that were made through the API under a name, the
// oldest first; an empty tenant has those of none. Until the change ends, others that ask for the
// same name wait.
func (c endpointChanges) NamedEndpoints(ctx context.Context, tenant, name string) ([]ledger.EndpointRow, error) {
	args := pgx.NamedArgs{"tenant": tenant, "name": name}
	if _, err := c.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(jsonb_build_array('tailpost name', @tenant::text, @name::text)::text, 0))`, args); err != nil {
		return nil, fmt.Errorf("wait for other changes of the name: %w", err)
	}
	return many(ctx, c.tx, endpointColumns+`
WHERE COALESCE(tenant, '') = @tenant
  AND name = @name
  AND source = 'api'
ORDER BY created_at, id
FOR UPDATE`, args, scanEndpoint)
}

// CreateEndpoint writes a new endpoint.
func (c endpointChanges) CreateEndpoint(ctx context.Context, e *ledger.EndpointRow) error {
	e.Version, e.CreatedAt, e.UpdatedAt = 1, c.now, c.now
	_, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.endpoint (
    id, tenant, name, url, description, subscriptions, policy, status, disabled_reason, failing_since, source, secrets,
    secret_prefix, version, created_at, updated_at
)
VALUES (
    @id, NULLIF(@tenant, ''), @name, @url, @description, @subscriptions::text::jsonb, @policy::text::jsonb, @status,
    NULLIF(@disabled_reason, ''), NULL, 'api', @secrets, NULLIF(@secret_prefix, ''), 1, @now, @now
)`, endpointArgs(e, c.now))
	if err != nil {
		return fmt.Errorf("write the endpoint: %w", err)
	}
	return nil
}

// SaveEndpoint writes an endpoint that this change has read, and raises its version.
func (c endpointChanges) SaveEndpoint(ctx context.Context, e *ledger.EndpointRow) error {
	e.Version++
	e.UpdatedAt = c.now
	_, err := c.tx.Exec(ctx, `
UPDATE tailpost.endpoint
SET name = @name,
    url = @url,
    description = @description,
    subscriptions = @subscriptions::text::jsonb,
    policy = @policy::text::jsonb,
    status = @status,
    disabled_reason = NULLIF(@disabled_reason, ''),
    failing_since = @failing_since,
    secrets = @secrets,
    secret_prefix = NULLIF(@secret_prefix, ''),
    version = @version,
    updated_at = @now
WHERE id = @id`, endpointArgs(e, c.now))
	if err != nil {
		return fmt.Errorf("write the endpoint: %w", err)
	}
	return nil
}

func endpointArgs(e *ledger.EndpointRow, now time.Time) pgx.NamedArgs {
	return pgx.NamedArgs{
		"id": e.ID, "tenant": e.Tenant, "name": e.Name, "url": e.URL, "description": e.Description,
		"subscriptions": string(e.Subscriptions), "policy": string(e.Policy), "status": e.Status,
		"disabled_reason": e.DisabledReason, "failing_since": timeOrNull(e.FailingSince), "secrets": e.Secrets,
		"secret_prefix": e.SecretPrefix, "version": e.Version, "now": now,
	}
}

// DeleteEndpoint removes an endpoint with what is still undelivered to it, and says how much that
// was. Its attempts stay.
func (c endpointChanges) DeleteEndpoint(ctx context.Context, id string) (discarded int64, err error) {
	if _, err := c.tx.Exec(ctx, "DELETE FROM tailpost.endpoint WHERE id = @id", pgx.NamedArgs{"id": id}); err != nil {
		return 0, fmt.Errorf("delete the endpoint: %w", err)
	}
	tag, err := c.tx.Exec(ctx, "DELETE FROM tailpost.delivery WHERE endpoint_id = @id", pgx.NamedArgs{"id": id})
	if err != nil {
		return 0, fmt.Errorf("discard its deliveries: %w", err)
	}
	return tag.RowsAffected(), nil
}

const saveVerificationSQL = `
UPDATE tailpost.endpoint
SET verified = COALESCE(NULLIF(@proof, ''), verified),
    verified_at = CASE WHEN @proof::text = '' THEN verified_at ELSE @now END,
    updated_at = @now,
    verify_error = NULLIF(@problem, '')
WHERE id = @id`

// SaveVerification notes what an endpoint has shown, or why it has not.
func (c endpointChanges) SaveVerification(ctx context.Context, id, proof, problem string) error {
	tag, err := c.tx.Exec(ctx, saveVerificationSQL, pgx.NamedArgs{"id": id, "proof": proof, "problem": problem, "now": c.now})
	switch {
	case err != nil:
		return fmt.Errorf("note the verification: %w", err)
	case tag.RowsAffected() == 0:
		return ErrNotFound
	}
	return nil
}
