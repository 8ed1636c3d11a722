package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// bareSQL reads which columns have times without a zone, and which zone a relay takes those for.
// Sessions of Tailpost have UTC, so that it cannot see what others have.
const bareSQL = `
SELECT array(SELECT a.attname::text
             FROM pg_catalog.pg_attribute AS a
             JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
             WHERE a.attrelid = to_regclass(@table)
               AND a.attname = ANY (@columns::text[])
               AND NOT a.attisdropped
               AND COALESCE(NULLIF(t.typbasetype, 0), t.oid) IN ('pg_catalog.timestamp'::regtype, 'pg_catalog.date'::regtype)
             ORDER BY a.attnum),
       COALESCE((SELECT substr(o.setting, length('timezone=') + 1)
                 FROM pg_catalog.pg_db_role_setting AS s
                 JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
                 CROSS JOIN unnest(s.setconfig) AS o (setting)
                 WHERE d.datname = current_database()
                   AND s.setrole = 0
                   AND o.setting ILIKE 'timezone=%'), current_setting('log_timezone'))`

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
