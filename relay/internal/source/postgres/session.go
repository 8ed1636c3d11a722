package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

const (
	minServerVersion = 140000
	// readBuffer holds many rows for each system call.
	readBuffer = 64 << 10
)

// session is the connection before it streams. A replication connection takes SQL by the simple
// protocol only, so values are quoted here.
type session struct {
	conn *pgconn.PgConn
	opts Options
	role string
	info Info
	// stoodBy says that another connection held the slot when we asked last.
	stoodBy bool
}

// record is a row by column name. NULL is left out.
type record map[string]string

// connect opens the replication connection. What is read from it goes through wrap.
func connect(ctx context.Context, o Options, wrap func(io.Reader) io.Reader) (*session, error) {
	// For the set-up's SQL; streaming itself runs under no time limit.
	cfg, err := pglink.Configure(o.URL, pglink.Session{Name: o.ApplicationName})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(wrap(r), readBuffer), w)
	}
	conn, err := pgconn.ConnectConfig(ctx, &cfg.Config)
	if err != nil {
		return nil, connectError(cfg.User, err)
	}
	return &session{conn: conn, opts: o, role: cfg.User}, nil
}

func connectError(role string, err error) error {
	if pglink.Judge(err) == pglink.Refused {
		return fmt.Errorf("%w: %w", ErrSetup, pglink.Describe(err))
	}
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("%w: connect for replication: %w", ErrConnection, err)
	}
	switch pgErr.Code {
	case pglink.InsufficientPrivilege:
		return mayNotReplicate(role, pgErr)
	case pglink.InvalidAuthorization:
		return fmt.Errorf("%w: the server refuses role %s: it needs LOGIN and REPLICATION and a line in pg_hba.conf for its database: %w",
			ErrSetup, role, pgErr)
	case pglink.TooManyConnections:
		return fmt.Errorf("%w: no walsender is free: end another one or raise max_wal_senders and restart Postgres: %w", ErrSetup, pgErr)
	case pglink.AdminShutdown, pglink.CrashShutdown, pglink.CannotConnectNow:
		return fmt.Errorf("%w: connect for replication: %w", ErrServerStopped, pgErr)
	}
	return fmt.Errorf("%w: connect for replication: %w", ErrConnection, pgErr)
}

// mayNotReplicate says what gives a role the right, also on services where nobody is a superuser.
func mayNotReplicate(role string, err error) error {
	return fmt.Errorf("%w: role %s may not replicate: run ALTER ROLE %s REPLICATION; as a superuser, or as the administrator of Google Cloud SQL, AlloyDB or Azure "+
		"(Amazon RDS and Aurora: GRANT rds_replication TO %s;): %w", ErrSetup, role, quoteIdentifier(role), quoteIdentifier(role), err)
}

// check reads who the server is and whether it can decode at all.
func (s *session) check(ctx context.Context) error {
	system, err := pglogrepl.IdentifySystem(ctx, s.conn)
	if err != nil {
		return fmt.Errorf("identify system: %w", classify(err))
	}
	s.info.Asked = time.Now()
	rows, err := s.query(ctx, `
		SELECT current_setting('server_version_num') AS version,
		       floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS clock,
		       pg_backend_pid() AS pid,
		       current_setting('wal_level') AS wal_level,
		       current_setting('server_encoding') AS encoding,
		       pg_is_in_recovery() AS standby,
		       current_user AS role,
		       current_setting('synchronous_standby_names') AS standbys,
		       (SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout') AS sender_timeout`)
	if err != nil {
		return fmt.Errorf("read server settings: %w", err)
	}
	if len(rows) != 1 {
		return fmt.Errorf("read server settings: %d rows", len(rows))
	}
	s.info.Answered = time.Now()
	row := rows[0]
	version, err1 := strconv.Atoi(row["version"])
	senderTimeout, err2 := strconv.Atoi(row["sender_timeout"])
	pid, err3 := strconv.Atoi(row["pid"])
	clock, err4 := strconv.ParseInt(row["clock"], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("read server settings: %w", err)
	}
	switch {
	case version < minServerVersion:
		return fmt.Errorf("%w: Postgres %d is too old, 14 or later is needed", ErrSetup, version/10000)
	case row["standby"] != "f":
		return fmt.Errorf("%w: give the primary's address (replication_url), or wait for its promotion: %w", ErrStandby, ErrSetup)
	case !pglink.Decodes(version, row["wal_level"]):
		return fmt.Errorf("%w: wal_level is %q: run ALTER SYSTEM SET wal_level = 'logical'; as a superuser, then restart Postgres",
			ErrSetup, row["wal_level"])
	}
	if err := checkSynchronous(row["standbys"], s.opts.ApplicationName); err != nil {
		return err
	}
	s.role = row["role"]
	s.info.PID, s.info.Clock = pid, time.UnixMilli(clock)
	s.info.SenderTimeout = time.Duration(senderTimeout) * time.Millisecond
	s.info.ServerVersion, s.info.SystemID = version, system.SystemID
	s.info.Timeline, s.info.Database, s.info.Encoding = system.Timeline, system.DBName, row["encoding"]
	s.info.Standbys = row["standbys"]
	return nil
}

// query runs one or more statements and returns the last one's rows.
func (s *session) query(ctx context.Context, sql string) ([]record, error) {
	results, err := s.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, classify(err)
	}
	if len(results) == 0 {
		return nil, nil
	}
	last := results[len(results)-1]
	rows := make([]record, 0, len(last.Rows))
	for _, values := range last.Rows {
		row := make(record, len(values))
		for i, value := range values {
			if value != nil {
				row[last.FieldDescriptions[i].Name] = string(value)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// patiently runs f without time limits of its own, so that only ctx bounds it.
func (s *session) patiently(ctx context.Context, f func() error) error {
	if _, err := s.query(ctx, `SET statement_timeout = 0; SET lock_timeout = 0`); err != nil {
		return fmt.Errorf("lift time limits: %w", err)
	}
	err := f()
	if s.conn.IsClosed() {
		return err
	}
	if _, resetErr := s.query(ctx, `RESET statement_timeout; RESET lock_timeout`); err == nil && resetErr != nil {
		return fmt.Errorf("restore time limits: %w", resetErr)
	}
	return err
}

func (r record) lsn(column string) (outbox.LSN, error) {
	text, ok := r[column]
	if !ok {
		return 0, nil
	}
	lsn, err := outbox.ParseLSN(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", column, err)
	}
	return lsn, nil
}

// quoteIdentifier makes a name safe in SQL and in publication_names.
func quoteIdentifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// quoteLiteral makes a string constant. The session has standard_conforming_strings and UTF-8.
func quoteLiteral(s string) string {
	return `'` + strings.ReplaceAll(s, `'`, `''`) + `'`
}

// quoteTable makes schema.name safe in SQL.
func quoteTable(table string) string {
	schema, name, _ := strings.Cut(table, ".")
	return quoteIdentifier(schema) + "." + quoteIdentifier(name)
}
