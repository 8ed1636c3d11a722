package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// server is what one query reads of the server.
type server struct {
	Version     int
	Role        string
	Database    string
	WALLevel    string
	Standby     bool
	Encoding    string
	Clock       time.Time
	Kept        int64 // max_slot_wal_keep_size in megabytes; -1: without a limit
	SlotTimeout string
	WALRate     float64 // bytes a second since the server's counters were reset
	Asked       time.Time
	Answered    time.Time
}

// From Postgres 19 on wal_level says what is configured, effective_wal_level what holds.
const serverSQL = `
SELECT current_setting('server_version_num')::int,
       current_user::text,
       current_database()::text,
       COALESCE(current_setting('effective_wal_level', true), current_setting('wal_level')),
       pg_is_in_recovery(),
       current_setting('server_encoding'),
       clock_timestamp(),
       (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'),
       COALESCE(current_setting('idle_replication_slot_timeout', true), '0'),
       COALESCE((SELECT w.wal_bytes / NULLIF(extract(epoch FROM clock_timestamp() - w.stats_reset), 0) FROM pg_catalog.pg_stat_wal AS w), 0)::double precision`

func readServer(ctx context.Context, conn *pgx.Conn) (s server, err error) {
	s.Asked = time.Now()
	err = conn.QueryRow(ctx, serverSQL).Scan(&s.Version, &s.Role, &s.Database, &s.WALLevel, &s.Standby, &s.Encoding,
		&s.Clock, &s.Kept, &s.SlotTimeout, &s.WALRate)
	s.Answered = time.Now()
	return s, err
}

const (
	oldest  = 140000
	perPart = 10000 // of server_version_num, for a major version
)

// supportEnds is when the Postgres project ends its support of a major version.
func supportEnds() map[int]string {
	return map[int]string{14: "2026-11-12", 15: "2027-11-11", 16: "2028-11-09", 17: "2029-11-08", 18: "2030-11-14"}
}

func examineVersion(_ context.Context, p *patient) (Finding, error) {
	major := p.server.Version / perPart
	if p.server.Version < oldest {
		return fail("upgrade to Postgres 14 or later", "Postgres %d cannot carry logical messages", major)
	}
	end, known := supportEnds()[major]
	switch {
	case !known:
		return ok("Postgres %d", major)
	case p.Now.Format(time.DateOnly) >= end:
		return warn("upgrade Postgres", "Postgres %d is out of support since %s", major, end)
	}
	return ok("Postgres %d, supported until %s", major, end)
}

func examineWALLevel(_ context.Context, p *patient) (Finding, error) {
	switch level := p.server.WALLevel; {
	case level == "logical":
		return ok("wal_level is logical")
	case pglink.Decodes(p.server.Version, level):
		return ok("wal_level is %s: Postgres writes what decoding needs as soon as there is a slot", level)
	}
	return fail("ALTER SYSTEM SET wal_level = 'logical'; and restart Postgres. Amazon RDS and Aurora: rds.logical_replication = 1; "+
		"Google Cloud SQL: cloudsql.logical_decoding = on; Azure: wal_level = logical",
		"wal_level is %s: the server does not decode its log", p.server.WALLevel)
}

func examineRecovery(_ context.Context, p *patient) (Finding, error) {
	if p.server.Standby {
		return fail("give the primary's address in database.url", "the server is a standby")
	}
	return ok("the server is a primary")
}

// asApplication connects as an application does, without the settings that a relay's connections
// have.
func asApplication(ctx context.Context, p *patient) (*pgx.Conn, error) {
	cfg, err := pglink.ParseConfig(p.cfg.Database.URL.Reveal())
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = name
	return pgx.ConnectConfig(ctx, cfg)
}

// examineReadOnly asks as an application does: a relay writes all the same.
func examineReadOnly(ctx context.Context, p *patient) (Finding, error) {
	conn, err := asApplication(ctx, p)
	if err != nil {
		return Finding{}, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var readOnly bool
	if err := conn.QueryRow(ctx, "SELECT current_setting('default_transaction_read_only')::boolean").Scan(&readOnly); err != nil {
		return Finding{}, err
	}
	if readOnly {
		return warn("ALTER DATABASE "+pgx.Identifier{p.server.Database}.Sanitize()+" RESET default_transaction_read_only; or where else it is set: for the role, in postgresql.conf",
			"transactions are read-only by default (default_transaction_read_only): a relay's are not, but an application that is read-only too inserts no event")
	}
	return ok("transactions may write")
}

func examineEncoding(_ context.Context, p *patient) (Finding, error) {
	switch p.server.Encoding {
	case "UTF8":
		return ok("the database is in UTF8")
	case "SQL_ASCII":
		return warn("a database in UTF8, where the application can have one",
			"the database is in SQL_ASCII: its texts may be any bytes, and an event that is not UTF-8 is dead")
	}
	return ok("the database is in %s, events are sent in UTF-8", p.server.Encoding)
}

const (
	clockWarning = 30 * time.Second
	clockFailure = 5 * time.Minute // receivers refuse signatures of such an age
)

func examineClock(_ context.Context, p *patient) (Finding, error) {
	var apart time.Duration
	switch s := &p.server; {
	case s.Clock.After(s.Answered):
		apart = s.Clock.Sub(s.Answered)
	case s.Clock.Before(s.Asked):
		apart = s.Clock.Sub(s.Asked)
	}
	const fix = "synchronise both machines (NTP)"
	text := fmt.Sprintf("the database's clock is %s ahead of this machine's", apart.Round(time.Second))
	if apart < 0 {
		text = fmt.Sprintf("the database's clock is %s behind this machine's", (-apart).Round(time.Second))
	}
	switch {
	case apart.Abs() >= clockFailure:
		return fail(fix, "%s: one of them is wrong, and receivers refuse signatures whose time is", text)
	case apart.Abs() >= clockWarning:
		return warn(fix, "%s", text)
	}
	return ok("the database's clock and this machine's agree")
}

func examineSearchPath(ctx context.Context, p *patient) (Finding, error) {
	var open bool
	err := p.conn.QueryRow(ctx, `
		SELECT EXISTS (
		    SELECT
		    FROM pg_catalog.pg_namespace AS n, aclexplode(n.nspacl) AS a
		    WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')`).Scan(&open)
	switch {
	case err != nil:
		return Finding{}, err
	case open:
		return warn("REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
			"every role may create functions in schema public; the relay's own sessions never look there, your application's may")
	}
	return ok("not every role may create functions in schema public")
}
