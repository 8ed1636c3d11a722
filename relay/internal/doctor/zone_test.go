package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// TestTimesOfAnotherZoneAreToldOf: a relay cannot see what zone the sessions of others have, and
// takes times without one for those of the database, or of the server's log.
func TestTimesOfAnotherZoneAreToldOf(t *testing.T) {
	t.Parallel()
	b := setupServer(t, map[string]string{"timezone": "Europe/Berlin", "log_timezone": "UTC"})
	const well = "events can come from table public.outbox"
	require.Equal(t, well, b.find(t, "table", doctor.OK).Detail)
	none := func(why string) {
		for _, f := range b.examine(t) {
			require.False(t, f.Check == "table" && f.Grade != doctor.OK, "%s: %s", why, f.Detail)
		}
	}
	none("times have a zone")
	b.exec(t, "CREATE DOMAIN local AS timestamp; CREATE DOMAIN moment AS local; ALTER TABLE outbox ALTER created_at TYPE moment")
	found := b.find(t, "table", doctor.Warning)
	require.Equal(t, "times of table public.outbox (created_at) have no zone and are taken for UTC, while sessions that name no zone write them in Europe/Berlin", found.Detail)
	require.Equal(t, `outbox { time_zone = "Europe/Berlin" }`, found.Fix)
	b.cfg.Outbox.Mapping.TimeZone = "Asia/Tokyo"
	none("the configuration names it")
	b.cfg.Outbox.Mapping.TimeZone = ""
	b.exec(t, "ALTER ROLE postgres SET timezone = 'Asia/Tokyo'")
	none("the role's own says nothing of others")
	b.exec(t, "ALTER ROLE postgres RESET timezone; ALTER DATABASE postgres SET timezone = 'Europe/Berlin'")
	none("the database names it")
}
