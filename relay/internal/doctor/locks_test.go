package doctor_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// TestWhoKeepsOthersFromTheTablesIsNamed: what cannot be examined meanwhile is no failure of its
// own.
func TestWhoKeepsOthersFromTheTablesIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := bundle(t, b.cfg.Database.URL.Reveal()+"&application_name=importer", "tailpost")
	b.find(t, "locks", doctor.OK)
	require.Eventually(t, func() bool {
		other.exec(t, "ROLLBACK; BEGIN; LOCK TABLE tailpost.delivery IN SHARE MODE")
		return slices.ContainsFunc(b.examine(t), func(f doctor.Finding) bool { return f.Check == "locks" && f.Grade == doctor.OK })
	}, 30*time.Second, time.Millisecond, "every migration has such a lock for some seconds")
	b.held = time.Millisecond
	found := b.find(t, "locks", doctor.Failure)
	require.Regexp(t, `, in a transaction of \d+s, so that a relay cannot record`, found.Detail)
	require.Contains(t, found.Detail, `application "importer") has a lock on tailpost.delivery`)
	require.Contains(t, found.Fix, fmt.Sprintf("SELECT pg_terminate_backend(%d);", other.conn.PgConn().PID()))
	other.exec(t, "COMMIT; BEGIN; LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
	var said []string
	for _, f := range b.examine(t) {
		require.NotEqual(t, doctor.Failure, f.Grade, "%v", f)
		if f.Check == "locks" || f.Check == "size" {
			said = append(said, f.Detail)
		}
	}
	require.Len(t, said, 2)
	require.Contains(t, said[0], "has a lock on public.outbox")
	require.Contains(t, said[0], "so that nobody reads or writes events")
	require.Contains(t, said[1], "see locks")
	other.exec(t, "COMMIT; CREATE SCHEMA app; CREATE TABLE app.events ()")
	first, second := other, bundle(t, b.cfg.Database.URL.Reveal(), "tailpost")
	if first.conn.PgConn().PID() > second.conn.PgConn().PID() {
		first, second = second, first
	}
	first.exec(t, "BEGIN; LOCK TABLE app.events IN ACCESS EXCLUSIVE MODE") // which is not as bad
	second.exec(t, "BEGIN; LOCK TABLE tailpost.delivery IN SHARE MODE")
	b.as(t, "REPLICATION")
	b.cfg.Outbox.Mapping.Table = "app.events"
	found = b.find(t, "locks", doctor.Warning)
	require.Contains(t, found.Detail, "has a lock on tailpost.delivery, or waits for one, so that a relay cannot record", "this role does not see since when")
	first.exec(t, "COMMIT")
	second.exec(t, "COMMIT")
}

// TestAConnectionThatTheServerRefusesIsTold: its name is wrong, not its address.
func TestAConnectionThatTheServerRefusesIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link, err := url.Parse(b.cfg.Database.URL.Reveal())
	require.NoError(t, err)
	link.Path = "/nowhere"
	b.cfg.Database.URL = config.NewSecret(link.String())
	found := b.find(t, "connection", doctor.Failure)
	require.Contains(t, found.Detail, "correct the name of the database in database.url")
	require.Empty(t, found.Fix, "the detail has it")
}
