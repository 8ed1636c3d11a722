package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// bareSQL reads which columns have times without a zone, below their domains, and which zone a
// relay takes those for.
const bareSQL = `
WITH RECURSIVE beneath AS (
    SELECT a.attnum, a.attname, t.oid, t.typbasetype
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass(@table)
      AND a.attname = ANY (@columns::text[])
      AND NOT a.attisdropped
    UNION ALL
    SELECT b.attnum, b.attname, t.oid, t.typbasetype
    FROM beneath AS b
    JOIN pg_catalog.pg_type AS t ON t.oid = b.typbasetype
)
SELECT array(SELECT b.attname::text
             FROM beneath AS b
             WHERE b.oid IN ('pg_catalog.timestamp'::regtype, 'pg_catalog.date'::regtype)
             ORDER BY b.attnum),` + pglink.ZoneSQL

// examineZone warns where sessions that say nothing of a zone have another one than a relay takes
// times for that have none.
func examineZone(ctx context.Context, p *patient) (all []Finding, err error) {
	m := p.cfg.Outbox.Mapping
	if m.TimeZone != "" {
		return nil, nil
	}
	columns := slices.DeleteFunc([]string{m.CreatedAt, m.DeliverAt, m.ExpiresAt}, func(column string) bool { return column == "" })
	var bare []string
	var taken string
	if err := p.conn.QueryRow(ctx, bareSQL, pgx.NamedArgs{"table": m.QuotedTable(), "columns": columns}).Scan(&bare, &taken); err != nil || len(bare) == 0 {
		return nil, err
	}
	conn, err := asApplication(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var has, source string
	err = conn.QueryRow(ctx, "SELECT s.setting, s.source FROM pg_catalog.pg_settings AS s WHERE s.name = 'TimeZone'").Scan(&has, &source)
	if err != nil || sameZone(has, taken) || strings.HasSuffix(source, "user") { // that is the role's own
		return nil, err
	}
	return []Finding{{
		Grade: Warning, Fix: fmt.Sprintf("outbox { time_zone = %q }", has),
		Detail: fmt.Sprintf("times of table %s (%s) have no zone and are taken for %s, while sessions that name no zone write them in %s",
			m.Table, strings.Join(bare, ", "), taken, has),
	}}, nil
}

// sameZone reports whether two names are of one zone, as far as names tell.
func sameZone(a, b string) bool {
	plain := func(name string) string {
		switch strings.ToUpper(name) {
		case "UTC", "ETC/UTC", "GMT", "ETC/GMT", "UCT", "ZULU":
			return "UTC"
		}
		return strings.ToUpper(name)
	}
	return plain(a) == plain(b)
}
