package doctor

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/schema"
)

// unserved warns of endpoints that ask for what the table has no column for: the column was
// renamed, or it never was there.
func (p *patient) unserved(ctx context.Context) (all []Finding, err error) {
	if !p.cfg.Outbox.FromTableAlone() {
		return nil, nil
	}
	m := p.cfg.Outbox.Mapping
	lacks, err := schema.Lacks(ctx, p.conn, m)
	if err != nil {
		return nil, err
	}
	m = m.Without(lacks)
	tenants, orders, err := p.countUnserved(ctx, m)
	if tenants > 0 {
		all = append(all, Finding{
			Grade: Warning, Fix: "name the column that has the tenant in outbox.columns, such as tenant = \"tenant_id\", or rename it to tenant; then tailpost replay",
			Detail: fmt.Sprintf("table %s has no column for the tenant of events, and endpoints want those of a tenant (%d): they get nothing", m.Table, tenants),
		})
	}
	if orders > 0 {
		all = append(all, Finding{
			Grade: Warning, Fix: "name the column that has the key in outbox.columns, such as key = \"order_id\", or rename it to key",
			Detail: fmt.Sprintf("table %s has no column for the key of events, and endpoints have ordering = \"key\" (%d): nothing is kept in order", m.Table, orders),
		})
	}
	return all, err
}

// unservedSQL counts endpoints that are not of the configuration at hand.
const unservedSQL = `
SELECT count(*) FILTER (WHERE @tenants::boolean AND e.tenant IS NOT NULL),
       count(*) FILTER (WHERE @orders::boolean AND e.policy ->> 'ordering' = 'key')
FROM tailpost.endpoint AS e
WHERE e.status <> 'disabled'
  AND NOT e.id = ANY (@known::text[])`

// countUnserved counts endpoints of a tenant where events have none, and endpoints ordered by key
// where they have no key.
func (p *patient) countUnserved(ctx context.Context, m outbox.Mapping) (tenants, orders int, err error) {
	if m.Tenant != "" && m.Key != "" {
		return 0, 0, nil
	}
	known := make([]string, len(p.cfg.Endpoints))
	count := map[string]int{}
	for i := range p.cfg.Endpoints {
		known[i] = p.cfg.Endpoints[i].ID
		for _, setting := range config.Unserved(&p.cfg.Endpoints[i], m) {
			count[setting]++
		}
	}
	if p.migrated(ctx) {
		err = p.conn.QueryRow(ctx, unservedSQL, pgx.NamedArgs{"known": known, "tenants": m.Tenant == "", "orders": m.Key == ""}).Scan(&tenants, &orders)
	}
	if pglink.Is(err, pglink.InsufficientPrivilege) {
		err = nil // which the check of the privileges says
	}
	return tenants + count["tenant"], orders + count["ordering"], err
}
