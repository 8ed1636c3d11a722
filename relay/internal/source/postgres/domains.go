package postgres

import (
	"context"
	"fmt"
	"strconv"
)

// readDomains returns the types that domains are made of, by the domains' OIDs. The stream names a
// column's domain, and how its values look is a matter of the type beneath.
func readDomains(ctx context.Context, s *session) (map[uint32]uint32, error) {
	rows, err := s.query(ctx, `
		WITH RECURSIVE d AS (
		    SELECT t.oid, t.typbasetype AS base
		    FROM pg_catalog.pg_type AS t
		    WHERE t.typtype = 'd'
		    UNION ALL
		    SELECT d.oid, t.typbasetype
		    FROM d
		    JOIN pg_catalog.pg_type AS t ON t.oid = d.base
		    WHERE t.typtype = 'd'
		)
		SELECT d.oid AS domain, d.base
		FROM d
		JOIN pg_catalog.pg_type AS t ON t.oid = d.base
		WHERE t.typtype <> 'd'`)
	if err != nil {
		return nil, fmt.Errorf("read domains: %w", err)
	}
	domains := make(map[uint32]uint32, len(rows))
	for _, row := range rows {
		domain, err := strconv.ParseUint(row["domain"], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read domains: %w", err)
		}
		base, err := strconv.ParseUint(row["base"], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read domains: %w", err)
		}
		domains[uint32(domain)] = uint32(base)
	}
	return domains, nil
}
