package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/route"
)

// Events is how many of the newest events the subscriptions are tried on.
const Events = 1000

// The actions.
const (
	Add    = "add"    // there is no such endpoint yet
	Change = "change" // its settings differ
	Return = "return" // it was removed from the configuration before, and comes back
	Remove = "remove" // the configuration has it no longer: it is disabled
)

// Plan lists what a configuration would change.
type Plan struct {
	Endpoints []Endpoint `json:"endpoints"` // those that change, in the order of their ids
	Drift     []Drift    `json:"drift"`
	Pins      []Pin      `json:"pins"`           // versions that are missing
	Versions  []Version  `json:"versions"`       // whose blocks come, change or go, newest first
	Blocks    []string   `json:"blocks"`         // the names of others that say something else
	LookedAt  int64      `json:"looked_at"`      // events that subscriptions were tried on
	Whole     bool       `json:"whole"`          // as many as should be, or all there are
	Note      string     `json:"note,omitempty"` // why no events were looked at
	// Uncompared says why neither versions nor other blocks were compared. Empty: they were.
	Uncompared string `json:"uncompared,omitempty"`

	versions config.Versions
}

// Changes reports whether a relay that reads the configuration would do something else than now, or
// may, where that could not be compared.
func (p *Plan) Changes() bool {
	return len(p.Endpoints)+len(p.Versions)+len(p.Blocks) > 0 || p.Uncompared != ""
}

// Endpoint says what becomes of one endpoint.
type Endpoint struct {
	ID       string    `json:"id"`
	Action   string    `json:"action"`
	Settings []Setting `json:"settings"` // that change
	// Of the events that were looked at: those that it got, and gets with the change.
	MatchedBefore   int64    `json:"matched_before"`
	Matched         int64    `json:"matched"`
	NewlyMatched    int64    `json:"newly_matched"`
	NoLongerMatched int64    `json:"no_longer_matched"`
	Pending         int64    `json:"pending"` // deliveries that are queued for it
	Dead            int64    `json:"dead"`
	Notes           []string `json:"notes"` // what else the change means, for people

	before, after *config.Endpoint
	routed        bool // the change concerns which events it gets
	paused        bool // it is paused afterwards
	disabled      bool // it is disabled afterwards
}

// Setting is one that changes. Both are JSON without the quotes of a text; empty: it is not set.
type Setting struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Drift is a difference between table and configuration: somebody made it by hand, or the relay
// did.
type Drift struct {
	ID     string `json:"id"`
	Detail string `json:"detail"`
}

// Make compares a configuration with the table. A name that an endpoint of the API has is an error,
// as it is for a relay.
func Make(ctx context.Context, store *query.Store, cfg *config.Config) (*Plan, error) {
	rows, err := readRows(ctx, store)
	if err != nil {
		return nil, err
	}
	noted, err := store.NotedConfiguration(ctx, cfg.Database.Slot)
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Endpoints: []Endpoint{}, Drift: []Drift{}, Pins: pins(rows, cfg.Versions), Versions: []Version{}, Blocks: []string{}, versions: cfg.Versions,
	}
	p.compareBlocks(noted, cfg.Database.Slot, cfg, rows)
	for i := range cfg.Endpoints {
		if err := p.wanted(&cfg.Endpoints[i], rows[cfg.Endpoints[i].ID]); err != nil {
			return nil, err
		}
		delete(rows, cfg.Endpoints[i].ID)
	}
	for _, row := range rows {
		if row.Source == ledger.SourceConfig && !removed(row) {
			p.Endpoints = append(p.Endpoints, gone(row, p.versions))
		}
	}
	slices.SortFunc(p.Endpoints, func(a, b Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(p.Drift, func(a, b Drift) int { return cmp.Compare(a.ID, b.ID) })
	if err := p.count(ctx, store); err != nil {
		return nil, err
	}
	return p, p.try(ctx, store, cfg.Outbox.Mapping.Table)
}

// pageRows bounds a page of the table.
const pageRows = 500

func readRows(ctx context.Context, store *query.Store) (map[string]*ledger.EndpointRow, error) {
	rows := make(map[string]*ledger.EndpointRow)
	q := query.EndpointQuery{Limit: pageRows}
	for {
		page, err := store.Endpoints(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page {
			rows[page[i].ID] = &page[i]
		}
		if len(page) < pageRows {
			return rows, nil
		}
		last := &page[len(page)-1]
		q.After = query.Position{At: last.CreatedAt, ID: last.ID}
	}
}

// removed reports whether an endpoint is one that the configuration had, and has no longer.
func removed(row *ledger.EndpointRow) bool {
	return row.Status == ledger.StatusDisabled && row.DisabledReason == ledger.ReasonRemoved
}

// wanted compares an endpoint of the configuration with its row; nil: there is none.
func (p *Plan) wanted(e *config.Endpoint, row *ledger.EndpointRow) error {
	is := Endpoint{ID: e.ID, Action: Add, Settings: []Setting{}, Notes: []string{}, after: e, routed: true}
	if row == nil {
		p.Endpoints = append(p.Endpoints, is)
		return nil
	}
	if row.Source != ledger.SourceConfig {
		return fmt.Errorf("endpoint %q exists already, made through the API: give the one in the configuration another name", e.ID)
	}
	var err error
	if is.Settings, err = compare(e, row); err != nil {
		return err
	}
	moved := slices.ContainsFunc(is.Settings, func(s Setting) bool { return s.Name == "url" })
	switch {
	case removed(row):
		is.Action, is.paused = Return, row.RemovedPaused
	case len(is.Settings) == 0:
		p.drifted(row, moved)
		return nil
	default:
		is.Action, is.before = Change, decoded(row, p.versions)
		is.paused, is.disabled = row.Status == ledger.StatusPaused, row.Status == ledger.StatusDisabled && !moved
		is.routed = slices.ContainsFunc(is.Settings, func(s Setting) bool { return slices.Contains([]string{subscriptionsName, "tenant", "version"}, s.Name) })
		p.drifted(row, moved)
	}
	if is.paused && removed(row) {
		is.Notes = append(is.Notes, "a person had paused it before it was removed: it is paused again, until tailpost resume "+row.ID)
	}
	if moved && row.Status == ledger.StatusDisabled && !removed(row) {
		is.Notes = append(is.Notes, "it was disabled ("+row.DisabledReason+"); with another URL it is active again")
	}
	p.Endpoints = append(p.Endpoints, is)
	return nil
}

// drifted notes a status that the configuration does not decide.
func (p *Plan) drifted(row *ledger.EndpointRow, moved bool) {
	switch {
	case row.Status == ledger.StatusPaused:
		p.Drift = append(p.Drift, Drift{ID: row.ID, Detail: "paused by a person, and stays so until tailpost resume " + row.ID})
	case row.Status == ledger.StatusDisabled && !moved:
		p.Drift = append(p.Drift, Drift{ID: row.ID, Detail: "disabled (" + row.DisabledReason + "), and stays so until it is enabled or its URL changes"})
	}
}

func gone(row *ledger.EndpointRow, versions config.Versions) Endpoint {
	return Endpoint{ID: row.ID, Action: Remove, Settings: []Setting{}, Notes: []string{}, before: decoded(row, versions), routed: true}
}

// decoded is the endpoint of a row as far as it can be read. Its version may be one that the
// configuration no longer has: its filters are tried on events as they are then.
func decoded(row *ledger.EndpointRow, versions config.Versions) *config.Endpoint {
	e, err := ledger.DecodeEndpoint(*row)
	if err != nil {
		return &config.Endpoint{ID: row.ID, Tenant: row.Tenant} // it gets nothing either
	}
	if !ledger.Pin(&e, row, versions) {
		e.Version = ""
		versions.Pin(&e, versions.Newest())
	}
	return &e
}

// count adds what is queued for the endpoints that change.
func (p *Plan) count(ctx context.Context, store *query.Store) (err error) {
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		if e.Action == Add {
			continue
		}
		f := ledger.DeliveryFilter{EndpointID: e.ID, State: string(outbox.Pending)}
		if e.Pending, err = store.CountDeliveries(ctx, f); err != nil {
			return err
		}
		f.State = string(outbox.StateDead)
		if e.Dead, err = store.CountDeliveries(ctx, f); err != nil {
			return err
		}
		if e.Pending == 0 {
			continue
		}
		if note := e.queued(); note != "" {
			e.Notes = append(e.Notes, fmt.Sprintf("%d queued: %s", e.Pending, note))
		}
	}
	return nil
}

// queued says what becomes of what is queued.
func (e *Endpoint) queued() string {
	named := func(name string) bool {
		return slices.ContainsFunc(e.Settings, func(s Setting) bool { return s.Name == name })
	}
	switch {
	case e.Action == Remove:
		return "they wait until the endpoint returns, unless they are discarded (tailpost discard --state pending --endpoint " + e.ID + ")"
	case e.paused:
		return "they wait until it is resumed"
	case e.disabled:
		return "they wait until it is enabled or its URL changes"
	case e.Action == Return:
		return "they go out"
	case named("url"), named("query"):
		return "they go to the new URL"
	case named(subscriptionsName), named("tenant"):
		return "they go out, whatever the subscriptions say now"
	case named("version"):
		return "they go out in the version that it pins now"
	case named("ordering"):
		return "they follow the new ordering"
	}
	return ""
}

// try has the subscriptions of before and after take the newest events.
func (p *Plan) try(ctx context.Context, store *query.Store, table string) error {
	var changes []route.Change
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		if !e.routed {
			continue
		}
		if e.before != nil {
			changes = append(changes, route.Change{Index: 2 * i, Endpoint: e.before})
		}
		if e.after != nil {
			changes = append(changes, route.Change{Index: 2*i + 1, Endpoint: e.after})
		}
	}
	switch {
	case len(changes) == 0:
		p.Whole = true
		return nil
	case table == "":
		p.Note = "events come as logical messages only: there is no outbox table with recent events"
		return nil
	}
	routes := (&route.Table{}).Change(changes)
	recent, err := store.Recent(ctx, query.RecentQuery{Most: Events}, func(ev *outbox.Event) {
		p.LookedAt++
		p.event(routes.Match(nil, ev))
	})
	if err != nil {
		return err
	}
	p.Whole = recent.Listed && !recent.Stopped
	if !recent.Listed {
		p.Note = "the outbox table cannot be listed: no index begins with its id"
	}
	return nil
}

// event counts who got an event and who gets it.
func (p *Plan) event(matches []route.Match) {
	had := -1
	for _, m := range matches { // in the order of their indexes: before, then after
		e := &p.Endpoints[m.Index/2]
		if m.Index%2 == 0 {
			e.MatchedBefore++
			e.NoLongerMatched++
			had = m.Index / 2
			continue
		}
		e.Matched++
		if had == m.Index/2 {
			e.NoLongerMatched--
		} else {
			e.NewlyMatched++
		}
	}
}
