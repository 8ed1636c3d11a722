package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// SourcePortal is the source of a Key that stands for a link to the customer portal.
const SourcePortal = "portal"

// PortalLink is a row of tailpost.portal_link.
type PortalLink struct {
	ID           string
	Tenant       string
	Capabilities []string
	RefreshURL   string // empty: where the configuration says
	CreatedBy    string
	Fingerprint  []byte // of the key that made it
	CreatedAt    time.Time
	ExpiresAt    time.Time
	LastUsedAt   *time.Time
}

const portalColumns = `
SELECT id, tenant, capabilities, COALESCE(refresh_url, '') AS refresh_url, created_by, fingerprint, created_at, expires_at, last_used_at
FROM tailpost.portal_link`

// PortalLink returns the link with this id, or ErrNotFound. Whether it is over is for the caller.
func (s access) PortalLink(ctx context.Context, id string) (link PortalLink, err error) {
	err = s.read(ctx, "read the portal link", func(ctx context.Context, tx pgx.Tx) (err error) {
		link, err = one(ctx, tx, portalColumns+"\nWHERE id = @id", pgx.NamedArgs{"id": id}, pgx.RowToStructByName[PortalLink])
		return err
	})
	return link, err
}

// PortalLinks returns a page of the links that are not over, newest first.
func (s access) PortalLinks(ctx context.Context, tenant string, now time.Time, after Position, limit int) (page []PortalLink, err error) {
	err = s.read(ctx, "list portal links", func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = many(ctx, tx, portalColumns+`
WHERE (@tenant::text = '' OR tenant = @tenant)
  AND expires_at > @now
  AND (@at::timestamptz IS NULL OR (created_at, id) < (@at, @id))
ORDER BY created_at DESC, id DESC
LIMIT @limit`, pgx.NamedArgs{
			"tenant": tenant, "now": now, "at": timeOrNull(after.At), "id": after.ID, "limit": limit,
		}, pgx.RowToStructByName[PortalLink])
		return err
	})
	return page, err
}

// forgetLinks is how long the row of a link that is over is kept, to know where its visitors are to
// be sent.
const forgetLinks = 7 * 24 * time.Hour

// CreatePortalLink writes a link, and removes those that have been over for long.
func (c accessChanges) CreatePortalLink(ctx context.Context, l *PortalLink) error {
	l.CreatedBy, l.CreatedAt = c.actor.ID, c.now
	_, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.portal_link (id, tenant, capabilities, refresh_url, created_by, fingerprint, created_at, expires_at)
VALUES (@id, @tenant, @capabilities, NULLIF(@refresh, ''), @created_by, @fingerprint, @now, @expires)`, pgx.NamedArgs{
		"id": l.ID, "tenant": l.Tenant, "capabilities": l.Capabilities, "refresh": l.RefreshURL, "created_by": l.CreatedBy,
		"fingerprint": l.Fingerprint, "now": c.now, "expires": l.ExpiresAt,
	})
	if err != nil {
		return fmt.Errorf("write the portal link: %w", err)
	}
	_, err = c.tx.Exec(ctx, `
DELETE FROM tailpost.portal_link
WHERE id IN (
    SELECT id
    FROM tailpost.portal_link
    WHERE expires_at < @before
    ORDER BY expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)`, pgx.NamedArgs{"before": c.now.Add(-forgetLinks)})
	if err != nil {
		return fmt.Errorf("remove old portal links: %w", err)
	}
	return nil
}

// PortalLink returns one link and keeps others from changing it.
func (c accessChanges) PortalLink(ctx context.Context, tenant, id string) (PortalLink, error) {
	return one(ctx, c.tx, portalColumns+`
WHERE id = @id
  AND (@tenant::text = '' OR tenant = @tenant)
FOR UPDATE`, pgx.NamedArgs{"id": id, "tenant": tenant}, pgx.RowToStructByName[PortalLink])
}

// DeletePortalLink removes a link: it and the sessions that it opened are over.
func (c accessChanges) DeletePortalLink(ctx context.Context, id string) error {
	if _, err := c.tx.Exec(ctx, "DELETE FROM tailpost.portal_link WHERE id = @id", pgx.NamedArgs{"id": id}); err != nil {
		return fmt.Errorf("delete the portal link: %w", err)
	}
	return nil
}

// useLink notes that a link was used.
func useLink(ctx context.Context, tx pgx.Tx, id string, now time.Time) error {
	_, err := tx.Exec(ctx, `
UPDATE tailpost.portal_link
SET last_used_at = @now
WHERE id = @id`, pgx.NamedArgs{"id": id, "now": now})
	return err
}
