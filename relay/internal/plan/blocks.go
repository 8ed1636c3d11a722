package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Version is a version block that comes, changes or goes.
type Version struct {
	Version string `json:"version"`
	Action  string `json:"action"` // Add, Change or Remove
	// Endpoints, of the configuration and of the API, get other data by it: they pin an older
	// version, so that their events go, or went, through its step.
	Endpoints int      `json:"endpoints"`
	OfAPI     int      `json:"of_api"`   // of them made through the API
	Examples  []string `json:"examples"` // the first of their ids
}

// compareBlocks compares what the relay wrote down with what is wanted, beside the endpoints. Rows
// are all of the table.
func (p *Plan) compareBlocks(noted query.NotedConfiguration, slot string, cfg *config.Config, rows map[string]*ledger.EndpointRow) {
	before, after := noted.Fingerprints, cfg.Fingerprints()
	switch {
	case noted.Epoch == 0:
		p.Uncompared = fmt.Sprintf("no relay has had slot %q yet", slot)
	case !noted.Noted:
		p.Uncompared = fmt.Sprintf("the relay that had slot %q last has not written down what they say: start one of this release once, with the grants that tailpost migrate --print has", slot)
	case before.Form != after.Form:
		p.Uncompared = fmt.Sprintf("the relay that had slot %q last is of a release that writes them down in another way: start one of this release once", slot)
	}
	if p.Uncompared != "" {
		return
	}
	p.Versions = changedVersions(before.Versions, after.Versions, pinned(cfg, rows, before.Versions))
	for _, name := range slices.Sorted(maps.Keys(after.Blocks)) {
		if before.Blocks[name] != after.Blocks[name] {
			p.Blocks = append(p.Blocks, name)
		}
	}
}

// pin is an endpoint that is there before and after, with the versions that it pins.
type pin struct {
	id            string
	api           bool
	before, after string
}

// through reports whether events of the endpoint went, or go, through the step of a version that
// was there, or is.
func (p pin) through(version string, had, has bool) bool {
	return had && p.before < version || has && p.after < version
}

// pinned lists the endpoints that stay.
func pinned(cfg *config.Config, rows map[string]*ledger.EndpointRow, before map[string]string) []pin {
	wanted := make(map[string]string, len(cfg.Endpoints))
	for i := range cfg.Endpoints {
		wanted[cfg.Endpoints[i].ID] = cfg.Endpoints[i].Version
	}
	var newest, oldest string
	if names := slices.Sorted(maps.Keys(before)); len(names) > 0 {
		oldest, newest = names[0], names[len(names)-1]
	}
	var pins []pin
	for id, row := range rows {
		named := row.PinnedVersion()
		if row.Source == ledger.SourceAPI {
			pins = append(pins, pin{id, true, cmp.Or(named, oldest), cmp.Or(named, cfg.Versions.Oldest())})
		} else if after, stays := wanted[id]; stays && !removed(row) {
			pins = append(pins, pin{id, false, cmp.Or(named, newest), after})
		}
	}
	slices.SortFunc(pins, func(a, b pin) int { return cmp.Compare(a.id, b.id) })
	return pins
}

// changedVersions lists the versions whose steps differ, newest first, with the endpoints that get
// other data. What waits because nobody has the version that it pins is for Pins.
func changedVersions(before, after map[string]string, pins []pin) []Version {
	pins = slices.DeleteFunc(pins, func(p pin) bool {
		was, usable := steps(before, p.before)
		is, stays := steps(after, p.after)
		return !usable || !stays || was == is
	})
	all := maps.Clone(before)
	maps.Copy(all, after)
	changed := []Version{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, had := before[name]
		is, has := after[name]
		if had && has && was == is {
			continue
		}
		v := Version{Version: name, Action: Change, Examples: []string{}}
		switch {
		case !had:
			v.Action = Add
		case !has:
			v.Action = Remove
		}
		for _, p := range pins {
			if was+is == "" || !p.through(name, had, has) { // no steps, or none of its own
				continue
			}
			v.Endpoints++
			if p.api {
				v.OfAPI++
			}
			if len(v.Examples) < pinExamples {
				v.Examples = append(v.Examples, p.id)
			}
		}
		changed = append(changed, v)
	}
	slices.Reverse(changed)
	return changed
}

// steps returns what leads down to a version; false: there is no such version.
func steps(versions map[string]string, version string) (all string, known bool) {
	if _, known = versions[version]; !known && version != "" {
		return "", false
	}
	var down []string
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if name > version && version != "" && versions[name] != "" {
			down = append(down, versions[name])
		}
	}
	return strings.Join(down, " "), true
}
