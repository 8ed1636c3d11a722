package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// AuditRow is a row of tailpost.audit: a change that was made.
type AuditRow struct {
	ID      int64
	At      time.Time
	Actor   string
	Address string
	Tenant  string
	Action  string
	Object  string
	Before  []byte // JSON; nil: it is new
	After   []byte // JSON; nil: it is gone
}

// AuditQuery asks for a page of changes, newest first.
type AuditQuery struct {
	Tenant string // only those to what is this tenant's; empty: all
	Object string
	Action string
	Actor  string
	After  int64 // id of the last one of the page before; 0: the start
	Limit  int
}

// Changes returns a page of the changes that were made.
func (s access) Changes(ctx context.Context, q AuditQuery) (page []AuditRow, err error) {
	err = s.read(ctx, "list changes", func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = many(ctx, tx, `
SELECT id, at, actor, address, COALESCE(tenant, '') AS tenant, action, object, before, after
FROM tailpost.audit
WHERE (@tenant::text = '' OR tenant = @tenant)
  AND (@object::text = '' OR object = @object)
  AND (@action::text = '' OR action = @action)
  AND (@actor::text = '' OR actor = @actor)
  AND (@after::bigint = 0 OR id < @after)
ORDER BY id DESC
LIMIT @limit`, pgx.NamedArgs{
			"tenant": q.Tenant, "object": q.Object, "action": q.Action, "actor": q.Actor, "after": q.After, "limit": q.Limit,
		}, pgx.RowToStructByName[AuditRow])
		return err
	})
	return page, err
}
