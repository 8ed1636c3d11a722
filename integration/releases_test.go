package integration_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// earlierCommit stands for the last release until there is one: it knows 18 migrations.
const earlierCommit = "94594bc"

// earlier returns the commit of the last release before this one. Without the history it is not to
// be had, and the test is skipped.
func earlier(t *testing.T) string {
	t.Helper()
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = kit.Root()
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	if _, err := git("rev-parse", "HEAD"); err != nil {
		t.Skip("this is no git checkout, so there is no earlier release to build: clone the repository")
	}
	commit, err := git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
	if err != nil {
		commit = earlierCommit
	}
	if _, err := git("rev-parse", "--verify", commit+"^{commit}"); err != nil {
		t.Skipf("the history of this checkout has no %s to build an earlier release of: git fetch --unshallow --tags", commit)
	}
	return commit
}

// versionOfThis is that of the tables that this tree makes.
func versionOfThis(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(kit.Root(), "outbox", "schema", "migrations", "[0-9]*.sql"))
	require.NoError(t, err)
	return len(files)
}

// An upgrade as docs/upgrade.md has it: relays of the last release go on with the new tables under
// load, and the new release asks for them before it runs.
func TestTheLastReleaseRunsOnTheNewTables(t *testing.T) {
	t.Parallel()
	commit := earlier(t)
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	old := kit.BuildCommit(t, commit)
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("strict", inOrder), b.endpoint("flaky", fast))
	b.receiver.On("/flaky", kit.Statuses(500, 200))
	path := writeConfig(t, config)
	tailpost := func(binary string, args ...string) *kit.Process {
		return kit.Run(t, kit.Command{Path: binary, Args: append(args, "-c", path), Env: config.Env(), Secrets: config.Secrets()})
	}
	require.Zero(t, tailpost(old, "migrate").ExitCode())
	version := func() int { return b.db.Count(t, "SELECT max(version) FROM tailpost.migration") }
	before := version()
	relay := kit.StartDelivering(t, kit.Options{Config: config, Binary: old})

	// The new release refuses the old tables, says what to do, and leaves them alone.
	newest := versionOfThis(t)
	for _, command := range []string{"run", "doctor"} {
		if newest == before {
			break
		}
		refused := tailpost(kit.Binary(t), command)
		require.Equal(t, 1, refused.ExitCode(), command)
		require.Contains(t, refused.Output(), fmt.Sprintf("schema tailpost is at version %d and this tailpost needs version %d: run tailpost migrate", before, newest))
		require.NotContains(t, refused.Output(), "does not exist", command)
	}
	require.Equal(t, before, version())

	migrating := kit.Start(t, kit.Command{
		Path: kit.Binary(t), Args: []string{"migrate", "-c", path}, Env: config.Env(), Secrets: config.Secrets(),
	})
	var ids []string
	const batch, after = 20, 5 // so that the relay keeps up with what is inserted
	for n := 0; n < after; {
		ids = append(ids, b.db.Insert(t, orders(batch)...)...)
		b.receiver.AwaitIDs(t, "/erp", ids...)
		if version() == newest {
			n++
		}
	}
	require.Zero(t, migrating.Wait(t, kit.Patience), migrating.Output())
	delivered := func() {
		t.Helper()
		b.exactlyOnce(t, "erp", ids)
		b.exactlyOnce(t, "strict", ids)
		require.Equal(t, ids, b.receiver.IDs("/strict"))
		b.receiver.AwaitIDs(t, "/flaky", ids...)
		b.db.CheckStats(t, "flaky")
		require.Equal(t, len(ids), b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'flaky' AND outcome = 'delivered'"))
	}
	delivered()
	require.Zero(t, relay.Stop(t))
	t.Logf("%s: tables %d to %d, %d events", commit, before, newest, len(ids))
	if newest > before {
		refused := tailpost(old, "run")
		require.Equal(t, 1, refused.ExitCode())
		require.Contains(t, refused.Stderr(), "run the tailpost release that migrated the database, or a later one")
	}

	ids = append(ids, b.db.Insert(t, orders(20)...)...)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	ids = append(ids, b.db.Insert(t, orders(20)...)...)
	delivered()
	require.Zero(t, b.gaps(t, ""))
	require.Zero(t, relay.Stop(t))
}
