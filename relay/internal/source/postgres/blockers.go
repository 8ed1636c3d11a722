package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// defaultWaitNotice is how long the creation of a slot may take before somebody hears why.
	defaultWaitNotice = 5 * time.Second
	// waitNoticePause is after how long they hear again.
	waitNoticePause = time.Minute
	// blockersTimeout bounds one look at who blocks.
	blockersTimeout = 10 * time.Second
)

// blockersSQL returns the transactions that a process waits for. Who may not see other people's
// sessions gets no age.
const blockersSQL = `
SELECT COALESCE(a.pid::text, '') AS pid,
       COALESCE(a.application_name, '') AS application,
       COALESCE(a.usename::text, p.owner::text, '') AS role,
       COALESCE(p.gid, '') AS prepared,
       COALESCE(floor(extract(epoch FROM clock_timestamp() - COALESCE(a.xact_start, p.prepared)))::bigint::text, '') AS age
FROM pg_catalog.pg_locks AS waits
LEFT JOIN pg_catalog.pg_locks AS holds
       ON holds.locktype = 'transactionid' AND holds.transactionid = waits.transactionid AND holds.granted
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = holds.pid
LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction = waits.transactionid
WHERE waits.pid = %d
  AND waits.locktype = 'transactionid'
  AND NOT waits.granted`

// blocker is a transaction that somebody waits for.
type blocker struct {
	pid, application, role string
	prepared               string // the name of a prepared transaction; empty: it is one of a session
	age                    string // in seconds; empty: not known
}

// String returns what a person needs to find and end it.
func (b blocker) String() string {
	var s strings.Builder
	if b.prepared != "" {
		fmt.Fprintf(&s, "prepared transaction %q of role %q", b.prepared, b.role)
	} else {
		fmt.Fprintf(&s, "process %s of role %q, application %q", b.pid, b.role, b.application)
	}
	if seconds, err := strconv.Atoi(b.age); err == nil {
		fmt.Fprintf(&s, ", open for %s", time.Duration(seconds)*time.Second)
	}
	if b.prepared != "" {
		fmt.Fprintf(&s, ": COMMIT PREPARED or ROLLBACK PREPARED %s ends it", quoteLiteral(b.prepared))
	} else {
		fmt.Fprintf(&s, ": SELECT pg_terminate_backend(%s) ends it", b.pid)
	}
	return s.String()
}

// blockers returns who holds up a process of the server; empty: nobody, or it is not known.
func (s *session) blockers(ctx context.Context, pid int) (string, error) {
	rows, err := s.query(ctx, fmt.Sprintf(blockersSQL, pid))
	if err != nil {
		return "", fmt.Errorf("read who blocks process %d: %w", pid, err)
	}
	return joinBlockers(rows), nil
}

func joinBlockers(rows []record) string {
	var all []string
	for _, row := range rows {
		b := blocker{pid: row["pid"], application: row["application"], role: row["role"], prepared: row["prepared"], age: row["age"]}
		if b.pid != "" || b.prepared != "" {
			all = append(all, b.String())
		}
	}
	return strings.Join(all, "; ")
}

// watchWait calls Options.Waiting while the session waits for older transactions, until stop is
// called. It looks over a connection of its own: the session's is the one that waits.
func (s *session) watchWait(ctx context.Context) (stop func()) {
	if s.opts.Waiting == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		timer := time.NewTimer(s.opts.WaitNotice)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
			// What keeps us from looking is no reason to give up the slot: the next look says more.
			if by, err := s.lookForBlockers(ctx); err == nil && by != "" {
				s.opts.Waiting(by)
				timer.Reset(waitNoticePause)
			} else {
				timer.Reset(s.opts.WaitNotice)
			}
		}
	})
	return func() {
		cancel()
		watch.Wait()
	}
}

func (s *session) lookForBlockers(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, blockersTimeout)
	defer cancel()
	cfg, err := pgconn.ParseConfig(s.opts.URL)
	if err != nil {
		return "", err
	}
	cfg.RuntimeParams["application_name"] = s.opts.ApplicationName
	cfg.RuntimeParams["search_path"] = "pg_catalog, pg_temp"
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return (&session{conn: conn}).blockers(ctx, s.info.PID)
}
