package plan

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// marking are versions by their days; each wraps the data in a list with a mark, 0 is no step.
func marking(t require.TestingT, marks map[int]int) config.Config {
	cfg := config.Config{Database: config.Database{URL: config.NewSecret("postgres://db/app")}, API: config.API{Listen: "127.0.0.1:0"}}
	for day, mark := range marks {
		v := config.Version{Name: dayOf(day)}
		if mark > 0 {
			body, diags := config.CompileBody(fmt.Sprintf("[%d, event.data]", mark), "test.hcl", 1)
			require.False(t, diags.HasErrors())
			v.Events = []config.VersionEvent{{Events: "order", Body: body}}
		}
		cfg.Versions = append(cfg.Versions, v)
	}
	first := slices.MinFunc(cfg.Versions, func(a, b config.Version) int { return cmp.Compare(a.Name, b.Name) }).Name
	for i := range cfg.Versions {
		if cfg.Versions[i].Name == first {
			cfg.Versions[i].Events = nil // nothing was before the oldest
		}
	}
	done, err := cfg.Complete()
	require.NoError(t, err)
	return *done
}

func dayOf(n int) string { return fmt.Sprintf("2026-01-%02d", n) }

// data is what an endpoint that pins a day gets; false: nothing.
func data(versions config.Versions, day string) (string, bool) {
	e := config.Endpoint{Version: day}
	if !versions.Pin(&e, "") {
		return "", false
	}
	ev, err := e.Steps().Event(&outbox.Event{Type: "order", Payload: []byte("null")})
	if err != nil {
		return "", false
	}
	return string(ev.Payload), true
}

// Whoever gets other data is counted beside a version, and nobody else is.
func TestWhoGetsOtherDataIsCountedBesideAVersion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) config.Config {
			return marking(t, rapid.MapOfN(rapid.IntRange(1, 5), rapid.IntRange(0, 2), 1, 5).Draw(t, name))
		}
		before, after := draw("before"), draw("after")
		rows := map[string]*ledger.EndpointRow{}
		for _, v := range before.Versions {
			rows[v.Name] = &ledger.EndpointRow{ID: v.Name, Source: ledger.SourceAPI, Policy: fmt.Appendf(nil, `{"version": %q}`, v.Name)}
		}
		rows[""] = &ledger.EndpointRow{Source: ledger.SourceAPI, Policy: []byte(`{}`)} // pins none, and gets the oldest
		p := Plan{}
		p.compareBlocks(query.NotedConfiguration{Epoch: 1, Noted: true, Fingerprints: before.Fingerprints()}, "slot", &after, rows)
		require.Empty(t, p.Uncompared)
		counted, actions := map[string]bool{}, map[string]string{}
		for i, v := range p.Versions {
			require.Len(t, v.Examples, v.Endpoints)
			require.Equal(t, v.Endpoints, v.OfAPI)
			actions[v.Version] = v.Action
			require.True(t, i == 0 || p.Versions[i-1].Version > v.Version, "newest first")
			for _, id := range v.Examples {
				require.Less(t, id, v.Version, "it does not go through the step")
				counted[id] = true
			}
		}
		for id := range rows {
			was, _ := data(before.Versions, cmp.Or(id, before.Versions.Oldest()))
			is, there := data(after.Versions, cmp.Or(id, after.Versions.Oldest()))
			require.Equal(t, there && was != is, counted[id], "%s got %s, gets %s: %+v", id, was, is, p.Versions)
		}
		require.Equal(t, changes(before.Fingerprints().Versions, after.Fingerprints().Versions), actions)
	})
}

// changes says of each version what becomes of it; none: nothing.
func changes(before, after map[string]string) map[string]string {
	changed := map[string]string{}
	for name, is := range after {
		switch was, had := before[name]; {
		case !had:
			changed[name] = Add
		case was != is:
			changed[name] = Change
		}
	}
	for name := range before {
		if _, has := after[name]; !has {
			changed[name] = Remove
		}
	}
	return changed
}

func TestWhoIsNotThereBeforeAndAfterGetsNoOtherData(t *testing.T) {
	t.Parallel()
	before, after := marking(t, map[int]int{1: 0, 2: 1}), marking(t, map[int]int{1: 0, 2: 2})
	after.Endpoints = []config.Endpoint{
		{ID: "stays", Version: dayOf(1)},
		{ID: "new", Version: dayOf(1)},
		{ID: "back", Version: dayOf(1)},
		{ID: "newest", Version: dayOf(2)},
		{ID: "unpinned", Version: dayOf(1)},
	}
	ofConfig := func(policy string) *ledger.EndpointRow {
		return &ledger.EndpointRow{Source: ledger.SourceConfig, Policy: []byte(policy)}
	}
	first := fmt.Sprintf(`{"version": %q}`, dayOf(1))
	rows := map[string]*ledger.EndpointRow{
		"stays": ofConfig(first), "gone": ofConfig(first), "back": ofConfig(first), "newest": ofConfig(fmt.Sprintf(`{"version": %q}`, dayOf(2))),
		"unpinned": ofConfig(`{}`), "customer": {Source: ledger.SourceAPI, Policy: []byte(`{}`)}, "broken": {Source: ledger.SourceAPI, Policy: []byte(`[]`)},
		"x": {Source: ledger.SourceAPI, Policy: []byte(`{}`)}, "y": {Source: ledger.SourceAPI, Policy: []byte(`{}`)},
	}
	rows["back"].Status, rows["back"].DisabledReason = ledger.StatusDisabled, ledger.ReasonRemoved
	p := Plan{}
	p.compareBlocks(query.NotedConfiguration{Epoch: 1, Noted: true, Fingerprints: before.Fingerprints()}, "slot", &after, rows)
	require.Equal(t, []Version{{
		Version: dayOf(2), Action: Change, Endpoints: 6, OfAPI: 4, Examples: []string{"broken", "customer", "stays", "unpinned", "x"},
	}}, p.Versions)
	require.Empty(t, p.Blocks)
}

// TestAFanoutIsABlockThatIsCompared, also with what a release noted that knew none.
func TestAFanoutIsABlockThatIsCompared(t *testing.T) {
	t.Parallel()
	without := marking(t, map[int]int{1: 0})
	with := without
	with.Fanout = config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret("nats://n1"), Partitions: 16, Replicas: 1}
	older := without.Fingerprints()
	delete(older.Blocks, "fanout")
	for name, tc := range map[string]struct {
		before config.Fingerprints
		after  config.Config
		want   []string
	}{
		"none":                        {without.Fingerprints(), without, nil},
		"none, of an earlier release": {older, without, nil},
		"it comes":                    {without.Fingerprints(), with, []string{"fanout"}},
		"it comes with the release":   {older, with, []string{"fanout"}},
		"it goes":                     {with.Fingerprints(), without, []string{"fanout"}},
		"it stays":                    {with.Fingerprints(), with, nil},
	} {
		p := Plan{}
		p.compareBlocks(query.NotedConfiguration{Epoch: 1, Noted: true, Fingerprints: tc.before}, "slot", &tc.after, nil)
		require.Equal(t, tc.want, p.Blocks, name)
		require.Empty(t, p.Uncompared, name)
	}
}

// Whoever had no version to pin got what is the newest's, and gets other data by the first that has
// steps above the one it pins.
func TestTheFirstVersionsChangeWhatIsSent(t *testing.T) {
	t.Parallel()
	after := marking(t, map[int]int{1: 0, 2: 1})
	after.Endpoints = []config.Endpoint{{ID: "pins", Version: dayOf(1)}, {ID: "newest", Version: dayOf(2)}}
	before := after.Fingerprints()
	before.Versions = map[string]string{}
	row := &ledger.EndpointRow{Source: ledger.SourceConfig, Policy: []byte(`{}`)}
	p := Plan{}
	p.compareBlocks(query.NotedConfiguration{Epoch: 1, Noted: true, Fingerprints: before}, "slot", &after, map[string]*ledger.EndpointRow{"pins": row, "newest": row})
	require.Equal(t, []Version{
		{Version: dayOf(2), Action: Add, Endpoints: 1, Examples: []string{"pins"}}, {Version: dayOf(1), Action: Add, Examples: []string{}},
	}, p.Versions)

	// Where there were versions already, it got the newest of them: what changes is of those that
	// pin an older one.
	before = marking(t, map[int]int{1: 0, 2: 2}).Fingerprints()
	p = Plan{}
	p.compareBlocks(query.NotedConfiguration{Epoch: 1, Noted: true, Fingerprints: before}, "slot", &after, map[string]*ledger.EndpointRow{"newest": row})
	require.Equal(t, []Version{{Version: dayOf(2), Action: Change, Examples: []string{}}}, p.Versions)
}

// What cannot be compared may be a change.
func TestWhatCannotBeComparedIsSaid(t *testing.T) {
	t.Parallel()
	cfg := marking(t, map[int]int{1: 0})
	same, other := cfg.Fingerprints(), cfg.Fingerprints()
	other.Form++
	for want, noted := range map[string]query.NotedConfiguration{
		"":                                   {Epoch: 1, Noted: true, Fingerprints: same},
		`no relay has had slot "shop" yet`:   {},
		"has not written down what they say": {Epoch: 1},
		"writes them down in another way":    {Epoch: 1, Noted: true, Fingerprints: other},
	} {
		p := Plan{}
		p.compareBlocks(noted, "shop", &cfg, nil)
		require.Equal(t, want != "", p.Uncompared != "")
		require.Contains(t, p.Uncompared, want)
		require.Equal(t, want != "", p.Changes())
	}
	for _, p := range []Plan{{Endpoints: []Endpoint{{}}}, {Versions: []Version{{}}}, {Blocks: []string{"api"}}} {
		require.True(t, p.Changes())
	}
}
