package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// Grade is how bad a finding is.
type Grade string

// The grades. After a failure a relay would not start, or would not deliver.
const (
	OK      Grade = "ok"
	Warning Grade = "warning"
	Failure Grade = "failure"
)

// Finding is the result of a check.
type Finding struct {
	Check  string // its name, stable
	Grade  Grade
	Detail string // what was found, in a sentence
	Fix    string // what mends it; empty: there is nothing to mend, or Detail says it
}

// name is the application's to the server.
const name = "tailpost doctor"

// patient is the relay's surroundings under examination.
type patient struct {
	Options

	cfg    *config.Config
	conn   *pgx.Conn
	stream *postgres.Inspection // nil: it could not be opened
	server server
	// unusable: the outbox table is not as it must be, which has been said.
	unusable bool
}

// check examines one thing. It returns what it found, or an error where it could not look.
type check struct {
	name    string
	examine func(ctx context.Context, p *patient) ([]Finding, error)
}

// checks are all of the database, in the order in which a person would mend them.
func checks() []check {
	return []check{
		{"version", one(examineVersion)},
		{"wal_level", one(examineWALLevel)},
		{"recovery", one(examineRecovery)},
		{"read_only", one(examineReadOnly)},
		{"encoding", one(examineEncoding)},
		{"clock", one(examineClock)},
		{"schema", one(examineSchema)},
		{"table", examineTable},
		{"replication", one(examineReplication)},
		{"output_plugin", one(examineOutputPlugin)},
		{"slot", one(examineSlot)},
		{"other_slots", one(examineOtherSlots)},
		{"gaps", one(examineGaps)},
		{"publication", examinePublications},
		{"headroom", examineHeadroom},
		{"fanout", examineFanout},
		{"wal_kept", one(examineWALKept)},
		{"slot_timeout", one(examineSlotTimeout)},
		{"failover", one(examineFailover)},
		{"transactions", one(examineTransactions)},
		{"prepared", one(examinePrepared)},
		{"locks", one(examineLocks)},
		{"privileges", one(examinePrivileges)},
		{"names", one(examineNames)},
		{"versions", one(examineVersions)},
		{"search_path", one(examineSearchPath)},
		{"size", one(examineSize)},
		{"audit", one(examineAudit)},
	}
}

// one makes the examination of a check that finds one thing.
func one(f func(ctx context.Context, p *patient) (Finding, error)) func(context.Context, *patient) ([]Finding, error) {
	return func(ctx context.Context, p *patient) ([]Finding, error) {
		found, err := f(ctx, p)
		return []Finding{found}, err
	}
}

// Options change what is examined.
type Options struct {
	Now time.Time
	// Long is from which age on a transaction is worth a warning. 0: five minutes.
	Long time.Duration
	// Held is from which age on a transaction that keeps others from our tables is told of. 0: five
	// seconds.
	Held time.Duration
	// Free is how many bytes the database's disk has left, which no server tells. 0: not known.
	Free int64
}

// Database examines the database of a configuration. A check that could not be made is a failure.
func Database(ctx context.Context, cfg *config.Config, o Options) []Finding {
	if o.Long == 0 {
		o.Long = defaultLong
	}
	if o.Held == 0 {
		o.Held = defaultHeld
	}
	conn, err := pglink.Connect(ctx, cfg.Database.URL.Reveal(), pglink.Session{Name: name})
	if err != nil {
		return []Finding{{Check: "connection", Grade: Failure, Detail: pglink.Describe(err).Error(), Fix: connectionFix(err)}}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p := &patient{cfg: cfg, Options: o, conn: conn}
	findings := []Finding{{Check: "connection", Grade: OK, Detail: "the database answers, and no pooler stands before it"}}
	if p.server, err = readServer(ctx, conn); err != nil {
		return append(findings, Finding{Check: "version", Grade: Failure, Detail: pglink.Describe(err).Error()})
	}
	for _, c := range checks() {
		found, err := c.examine(ctx, p)
		switch {
		case pglink.Is(err, pglink.LockNotAvailable): // examineLocks says how bad that is
			found = []Finding{{Grade: Warning, Detail: "not examined, because a session holds a lock on a table that it needs: see locks"}}
		case err != nil:
			found = []Finding{{Grade: Failure, Detail: pglink.Describe(err).Error()}}
		}
		for _, f := range found {
			if f.Grade != "" {
				f.Check = c.name
				findings = append(findings, f)
			}
		}
	}
	return findings
}

func connectionFix(err error) string {
	if errors.Is(err, pglink.ErrPooler) {
		return "put the server's own address into database.url"
	}
	if _, answered := errors.AsType[*pgconn.PgError](err); answered {
		return "" // the finding says what to do about the server's answer
	}
	return "database.url, and that the server takes connections from here (listen_addresses, pg_hba.conf, the firewall)"
}

func ok(format string, args ...any) (Finding, error) {
	return Finding{Grade: OK, Detail: fmt.Sprintf(format, args...)}, nil
}

func warn(fix, format string, args ...any) (Finding, error) {
	return Finding{Grade: Warning, Fix: fix, Detail: fmt.Sprintf(format, args...)}, nil
}

func fail(fix, format string, args ...any) (Finding, error) {
	return Finding{Grade: Failure, Fix: fix, Detail: fmt.Sprintf(format, args...)}, nil
}

// none is for a check that has nothing to look at here.
func none() (Finding, error) { return Finding{}, nil }
