package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

// examineFanout looks at what a fleet needs beside what a relay does: NATS, and connections.
func examineFanout(ctx context.Context, p *patient) ([]Finding, error) {
	if !p.cfg.Fanout.Enabled() {
		return nil, nil
	}
	engine, err := examineNATS(ctx, p)
	if err != nil {
		return nil, err
	}
	connections, err := examineConnections(ctx, p)
	return []Finding{engine, connections}, err
}

func examineNATS(ctx context.Context, p *patient) (Finding, error) {
	network, err := p.cfg.Network.Roots(nil)
	if err != nil {
		return Finding{}, err
	}
	roots, err := p.cfg.Fanout.Roots(network)
	if err != nil {
		return Finding{}, err
	}
	fan := &p.cfg.Fanout
	there, err := jetstream.Look(ctx, jetstream.OptionsOf(p.cfg, roots, zerolog.Nop()))
	return judgeNATS(strings.Join(fan.Hosts(), ", "), there, fan.Partitions, err)
}

// judgeNATS says what it means that so many streams were found there, of those that are to be, or
// an error.
func judgeNATS(where string, there, partitions int, err error) (Finding, error) {
	switch {
	case errors.Is(err, jetstream.ErrUnreachable):
		return fail("fanout.url, and that the server takes connections from here; fanout.ca where it has a certificate of your own authority", "%s: %s", where, err)
	case errors.Is(err, jetstream.ErrRefused):
		return fail("fanout.credentials, token, or user and password: as the server's configuration has them", "%s: %s", where, err)
	case errors.Is(err, jetstream.ErrForbidden):
		return fail("let the user publish to $JS.API.> and TAILPOST.>, and subscribe to _INBOX.>", "%s: %s", where, err)
	case errors.Is(err, jetstream.ErrNoJetStream):
		return fail("jetstream { store_dir: /data } in the configuration of each server; with accounts, jetstream: enabled in the account", "%s: %s", where, err)
	case errors.Is(err, jetstream.ErrNoAnswer):
		return fail("see that most servers of the cluster run and have chosen a leader: nats server report jetstream", "%s: %s", where, err)
	case errors.Is(err, jetstream.ErrNoQuorum):
		return fail("start the servers that are offline, and see with nats stream report that those behind catch up; after fanout.hold whoever has the slot delivers alone", "%s: %s", where, err)
	case errors.Is(err, jetstream.ErrDegraded):
		return warn("start the servers that are offline, and see with nats stream report that those behind catch up: once most are away nothing can be published", "%s: %s", where, err)
	case errors.Is(err, jetstream.ErrSetup):
		return fail("", "%s", err) // it says what to do
	case err != nil:
		return fail("", "%s: %s", where, err)
	case there < partitions:
		return ok("NATS answers at %s, and %d of %d streams are there: the next start makes the others", where, there, partitions)
	}
	return ok("NATS answers at %s, and its %d streams are set up as they must be", where, there)
}

const (
	ofPartition = 3 // connections of a partition's owner
	ofProcess   = 4 // three by which it reads or stands by, and its lease; a replication connection is not counted
	ofAPI       = 4 // of a process, when they are used
	// spare is what a limit is to have beyond what is used: for other processes of the fleet.
	spare = 20
)

// connectionsSQL reads how many sessions this role may have in this database, by each
// limit that there is, and how many others have.
const connectionsSQL = `
WITH used AS (
    SELECT a.datname, a.usename
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datid IS NOT NULL
      AND COALESCE(a.backend_type, 'client backend') = 'client backend' -- NULL: not this role's to see
      AND NOT starts_with(a.application_name, 'tailpost')
)
SELECT l.name, l.most, (SELECT count(*) FROM used AS u WHERE (l.datname IS NULL OR u.datname = l.datname) AND (l.usename IS NULL OR u.usename = l.usename))
FROM (
    SELECT 'max_connections', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - COALESCE(current_setting('reserved_connections', true)::int, 0), NULL::name, NULL::name
    UNION ALL
    SELECT 'database', d.datconnlimit, d.datname, NULL FROM pg_catalog.pg_database AS d WHERE d.datname = current_database() AND d.datconnlimit >= 0
    UNION ALL
    SELECT 'role', r.rolconnlimit, NULL, r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user AND r.rolconnlimit >= 0 AND NOT r.rolsuper
) AS l (name, most, datname, usename)
ORDER BY l.name`

// examineConnections compares what a fleet of one process needs at least with what there is.
func examineConnections(ctx context.Context, p *patient) (Finding, error) {
	rows, err := p.conn.Query(ctx, connectionsSQL)
	if err != nil {
		return Finding{}, err
	}
	defer rows.Close()
	need := ofPartition*p.cfg.Fanout.Partitions + ofProcess
	worst := Finding{}
	for rows.Next() {
		var limit string
		var most, used int
		if err := rows.Scan(&limit, &most, &used); err != nil {
			return Finding{}, err
		}
		f := judgeConnections(p, limit, need, most, used)
		if worst.Grade == "" || worst.Grade == OK || f.Grade == Failure {
			worst = f
		}
	}
	return worst, rows.Err()
}

// judgeConnections says whether a limit has room for so many connections beside those of others.
func judgeConnections(p *patient, limit string, need, most, used int) Finding {
	partitions := p.cfg.Fanout.Partitions
	wants := fmt.Sprintf("%d partitions need %d connections to Postgres, and each process up to %d more", partitions, need, ofProcess+ofAPI)
	enough := need + ofAPI + used
	fix := fmt.Sprintf("ALTER SYSTEM SET max_connections = %d; and restart Postgres; or fewer partitions, while nothing was published yet", enough+spare)
	has := fmt.Sprintf("max_connections leaves %d to all", most)
	switch limit {
	case "database":
		fix = fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d;", pgx.Identifier{p.server.Database}.Sanitize(), enough+spare)
		has = fmt.Sprintf("the database's limit is %d", most)
	case "role":
		fix = fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d;", pgx.Identifier{p.server.Role}.Sanitize(), enough+spare)
		has = fmt.Sprintf("the role's limit is %d", most)
	}
	has += fmt.Sprintf(", of which others use %d now", used)
	switch {
	case need > most:
		return Finding{Grade: Failure, Fix: fix, Detail: wants + "; " + has}
	case enough > most:
		return Finding{Grade: Warning, Fix: fix, Detail: wants + "; " + has}
	}
	return Finding{Grade: OK, Detail: wants + "; " + has}
}
