package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

const pinnedSQL = `
SELECT e.policy ->> 'version' AS version, count(*)
FROM tailpost.endpoint AS e
WHERE e.source = 'api'
  AND e.policy ? 'version'
  AND NOT e.policy ->> 'version' = ANY (@known::text[])
GROUP BY 1
ORDER BY 1 DESC
LIMIT 10`

// examineVersions looks for endpoints of the API that pin a version which the configuration does
// not have: what they should get waits.
func examineVersions(ctx context.Context, p *patient) (Finding, error) {
	if !p.migrated(ctx) {
		return none()
	}
	rows, _ := p.conn.Query(ctx, pinnedSQL, pgx.NamedArgs{"known": p.cfg.Versions.Names()}) // what fails, the rows say
	var lost []string
	var version string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&version, &n}, func() error {
		lost = append(lost, fmt.Sprintf("version %q that %d of them pin", version, n))
		return nil
	})
	switch {
	case pglink.Is(err, pglink.InsufficientPrivilege):
		return none() // which the check of the schema says
	case err != nil:
		return Finding{}, err
	case len(lost) > 0:
		return fail("declare the version again, or have the endpoints pin another (payload_version)",
			"endpoints made through the API get nothing, it waits: the configuration has no %s", strings.Join(lost, ", no "))
	case len(p.cfg.Versions) == 0:
		return none()
	}
	return ok("the configuration has every version that an endpoint pins")
}
