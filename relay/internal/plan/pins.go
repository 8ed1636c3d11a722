package plan

import (
	"cmp"
	"slices"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// Pin is a version that endpoints of the API name and the configuration does not have: what they
// should get would wait until it does, or until they name another.
type Pin struct {
	Version   string   `json:"version"`
	Endpoints int      `json:"endpoints"`
	Examples  []string `json:"examples"` // the first of their ids
}

// pinExamples bounds Pin.Examples.
const pinExamples = 5

// pins finds versions that endpoints of the API name and the configuration does not have.
func pins(rows map[string]*ledger.EndpointRow, versions config.Versions) []Pin {
	by := make(map[string][]string)
	for id, row := range rows {
		if row.Source != ledger.SourceAPI {
			continue
		}
		e, err := ledger.DecodeEndpoint(*row)
		if err == nil && !ledger.Pin(&e, row, versions) {
			by[e.Version] = append(by[e.Version], id)
		}
	}
	found := make([]Pin, 0, len(by))
	for version, ids := range by {
		slices.Sort(ids)
		found = append(found, Pin{Version: version, Endpoints: len(ids), Examples: ids[:min(len(ids), pinExamples)]})
	}
	slices.SortFunc(found, func(a, b Pin) int { return cmp.Compare(b.Version, a.Version) })
	return found
}
