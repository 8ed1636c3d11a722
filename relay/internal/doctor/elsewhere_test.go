package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// A stream of another server would bring nothing of this database's events. A standby has the
// primary's system identifier and is another server all the same.
func TestAStreamOfAnotherServerIsAFailure(t *testing.T) {
	t.Parallel()
	primary, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, primary.Close()) })
	standby, err := primary.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })
	b := setup(t)
	for name, url := range map[string]struct{ own, other string }{
		"another cluster": {b.cfg.Database.URL.Reveal(), primary.URL("postgres")},
		"a standby":       {standby.URL("postgres"), primary.URL("postgres")},
	} {
		b.cfg.Database.URL, b.cfg.Database.ReplicationURL = config.NewSecret(url.own), config.NewSecret(url.other)
		f := b.find(t, "replication", doctor.Failure)
		require.Contains(t, f.Detail, "lead to different servers", name)
		require.Contains(t, f.Fix, "database.replication_url lead to the same server", name)
		b.cfg.Database.URL = config.NewSecret(url.other)
		b.find(t, "replication", doctor.OK)
	}
	b.cfg.Database.ReplicationURL = config.NewSecret(primary.URL("template1"))
	require.Equal(t, `database.url leads to database "postgres", database.replication_url to "template1"`, b.find(t, "replication", doctor.Failure).Detail)
}
