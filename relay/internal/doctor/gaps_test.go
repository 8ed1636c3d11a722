package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/doctor"
	"github.com/tailpost/tailpost/relay/internal/heal"
)

// TestGapsAreCountedAsARelayCountsThem: neither what a relay starts with is called its end, nor the
// other way round.
func TestGapsAreCountedAsARelayCountsThem(t *testing.T) {
	t.Parallel()
	const healed = "INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at) SELECT 'SLOT', why, '0/0', '0/0', 0, 0, now(), now() - n * interval '1 minute' FROM "
	for name, test := range map[string]struct {
		heal, cleared, sql string
		grade              doctor.Grade
		detail             string
	}{
		"a backfill and partitions that were given up are none": {
			heal: "NULL", cleared: "NULL", sql: healed + "generate_series(1, 4) AS n, (VALUES ('backfill'), ('" + heal.WhyPartitions + "')) AS v (why)",
			grade: doctor.OK, detail: "no gap in the stream within the last hour",
		},
		"those that came with another count": {
			heal: "NULL", cleared: "NULL", sql: healed + "generate_series(1, 4) AS n, (VALUES ('slot dropped; " + heal.WhyPartitions + "')) AS v (why)",
			grade: doctor.Failure, detail: "4 gaps within the last hour, the last because slot dropped; not all",
		},
		"none waits that is none": {
			heal: "'backfill'", cleared: "NULL", sql: "SELECT", grade: doctor.OK, detail: "no gap in the stream within the last hour",
		},
		"one waits whose time nobody noted": {
			heal: "'slot dropped'", cleared: "NULL", sql: healed + "generate_series(1, 3) AS n, (VALUES ('before')) AS v (why)",
			grade: doctor.Failure, detail: "4 gaps within the last hour, the last because slot dropped",
		},
		"those that a person cleared do not": {
			heal: "NULL", cleared: "now() - interval '1 minute'", sql: healed + "generate_series(2, 9) AS n, (VALUES ('slot dropped')) AS v (why)",
			grade: doctor.OK, detail: "no gap in the stream within the last hour",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, heal, gaps_cleared_at)
				VALUES ('SLOT', 1, '', '', 1, 0, '0/0', now(), `+test.heal+", "+test.cleared+`)`)
			b.exec(t, test.sql)
			require.Contains(t, b.find(t, "gaps", test.grade).Detail, test.detail)
		})
	}
}
