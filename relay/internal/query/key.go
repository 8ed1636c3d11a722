package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The sources of a key.
const (
	SourceConfig = "config"
	SourceAPI    = "api"
)

// Key is a row of tailpost.api_key, without its hash.
type Key struct {
	ID         string
	Name       string
	Source     string
	Prefix     string
	Scopes     []string
	Tenant     string
	CreatedBy  string
	CreatedAt  time.Time
	LastUsedAt *time.Time
}

const keyColumns = `
SELECT id, name, source, COALESCE(prefix, '') AS prefix, scopes, COALESCE(tenant, '') AS tenant, created_by, created_at,
       last_used_at
FROM tailpost.api_key`

// KeyByHash returns the key whose secret has this hash.
func (s access) KeyByHash(ctx context.Context, hash []byte) (key Key, err error) {
	err = s.read(ctx, "look for the key", func(ctx context.Context, tx pgx.Tx) (err error) {
		key, err = one(ctx, tx, keyColumns+"\nWHERE hash = @hash", pgx.NamedArgs{"hash": hash}, pgx.RowToStructByName[Key])
		return err
	})
	return key, err
}

// KeyByID returns the key with this id that the API made, and the hash of its secret.
func (s access) KeyByID(ctx context.Context, id string) (key Key, hash []byte, err error) {
	err = s.read(ctx, "read the key", func(ctx context.Context, tx pgx.Tx) (err error) {
		args := pgx.NamedArgs{"id": id}
		if key, err = one(ctx, tx, keyColumns+"\nWHERE id = @id\n  AND source = 'api'", args, pgx.RowToStructByName[Key]); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT hash FROM tailpost.api_key WHERE id = @id", args).Scan(&hash)
	})
	return key, hash, err
}

// NoteKeys writes the rows of the keys of the configuration as it has them now, used or not.
func (s access) NoteKeys(ctx context.Context, keys []Key, now time.Time) error {
	return s.transact(ctx, "note the keys of the configuration", pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		for i := range keys {
			k := &keys[i]
			if _, err := tx.Exec(ctx, `
INSERT INTO tailpost.api_key AS k (id, name, source, scopes, tenant, created_by, created_at)
VALUES (@id, @name, 'config', @scopes, NULLIF(@tenant, ''), 'config', @now)
ON CONFLICT (id) DO UPDATE
SET scopes = EXCLUDED.scopes,
    tenant = EXCLUDED.tenant
WHERE (k.scopes, k.tenant) IS DISTINCT FROM (EXCLUDED.scopes, EXCLUDED.tenant)`, pgx.NamedArgs{"id": k.ID, "name": k.Name, "scopes": k.Scopes, "tenant": k.Tenant, "now": now}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Keys returns a page of the keys, newest first: those that the API made, and of those that the
// configuration had the configured ones.
func (s access) Keys(ctx context.Context, tenant string, configured []string, after Position, limit int) (page []Key, err error) {
	err = s.read(ctx, "list keys", func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = many(ctx, tx, keyColumns+`
WHERE (@tenant::text = '' OR tenant = @tenant)
  AND (source = 'api' OR id = ANY (@configured::text[]))
  AND (@at::timestamptz IS NULL OR (created_at, id) < (@at, @id))
ORDER BY created_at DESC, id DESC
LIMIT @limit`, pgx.NamedArgs{"tenant": tenant, "configured": configured, "at": timeOrNull(after.At), "id": after.ID, "limit": limit}, pgx.RowToStructByName[Key])
		return err
	})
	return page, err
}

// Key returns one key and keeps others from changing it.
func (c accessChanges) Key(ctx context.Context, tenant, id string) (Key, error) {
	return one(ctx, c.tx, keyColumns+`
WHERE id = @id
  AND (@tenant::text = '' OR tenant = @tenant)
FOR UPDATE`, pgx.NamedArgs{"id": id, "tenant": tenant}, pgx.RowToStructByName[Key])
}

// CreateKey writes a new key with the hash of its secret.
func (c accessChanges) CreateKey(ctx context.Context, k *Key, hash []byte) error {
	k.Source, k.CreatedBy, k.CreatedAt = SourceAPI, c.actor.ID, c.now
	_, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.api_key (id, name, source, hash, prefix, scopes, tenant, created_by, created_at)
VALUES (@id, @name, 'api', @hash, @prefix, @scopes, NULLIF(@tenant, ''), @created_by, @now)`, pgx.NamedArgs{
		"id": k.ID, "name": k.Name, "hash": hash, "prefix": k.Prefix, "scopes": k.Scopes, "tenant": k.Tenant,
		"created_by": k.CreatedBy, "now": c.now,
	})
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	return nil
}

// DeleteKey removes a key: whoever has it is refused from then on.
func (c accessChanges) DeleteKey(ctx context.Context, id string) error {
	if _, err := c.tx.Exec(ctx, "DELETE FROM tailpost.api_key WHERE id = @id", pgx.NamedArgs{"id": id}); err != nil {
		return fmt.Errorf("delete the key: %w", err)
	}
	return nil
}

// UseKey notes that a key was used. A key of the configuration gets its row by it.
func (s access) UseKey(ctx context.Context, k Key, now time.Time) error {
	return s.transact(ctx, "note the use of the key", pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		if k.Source == SourcePortal {
			return useLink(ctx, tx, k.Prefix, now)
		}
		if k.Source == SourceAPI {
			_, err := tx.Exec(ctx, `
UPDATE tailpost.api_key
SET last_used_at = @now
WHERE id = @id`, pgx.NamedArgs{"id": k.ID, "now": now})
			return err
		}
		_, err := tx.Exec(ctx, `
INSERT INTO tailpost.api_key AS k (id, name, source, scopes, tenant, created_by, created_at, last_used_at)
VALUES (@id, @name, 'config', @scopes, NULLIF(@tenant, ''), 'config', @now, @now)
ON CONFLICT (id) DO UPDATE
SET scopes = EXCLUDED.scopes,
    tenant = EXCLUDED.tenant,
    last_used_at = EXCLUDED.last_used_at`, pgx.NamedArgs{
			"id": k.ID, "name": k.Name, "scopes": k.Scopes, "tenant": k.Tenant, "now": now,
		})
		return err
	})
}
