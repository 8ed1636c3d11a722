package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/route"
)

func filter(tb testing.TB, src string) *config.Filter {
	tb.Helper()
	f, diags := config.CompileFilter(src, "test.hcl", 1)
	require.False(tb, diags.HasErrors(), diags.Error())
	return f
}

func body(tb testing.TB, src string) *config.Body {
	tb.Helper()
	b, diags := config.CompileBody(src, "test.hcl", 1)
	require.False(tb, diags.HasErrors(), diags.Error())
	return b
}

func subscribe(events ...string) []config.Subscription {
	return []config.Subscription{{Events: events}}
}

func indexes(matches []route.Match) []int {
	found := make([]int, 0, len(matches))
	for _, m := range matches {
		found = append(found, m.Index)
	}
	return found
}

func TestMatchByType(t *testing.T) {
	t.Parallel()
	table := route.New([]config.Endpoint{
		{Subscriptions: subscribe()},
		{Subscriptions: subscribe("order.created")},
		{Subscriptions: subscribe("order.*")},
		{Subscriptions: subscribe("order.**")},
		{Subscriptions: subscribe("**")},
		{Subscriptions: subscribe("*")},
		{Subscriptions: subscribe("*.created", "order.created", "order.*")},
		{Subscriptions: subscribe("order.*.added")},
		{Subscriptions: subscribe("*.*.**")},
	})
	for eventType, want := range map[string][]int{
		"order.created":    {0, 1, 2, 3, 4, 6},
		"order":            {0, 4, 5},
		"order.item.added": {0, 3, 4, 7, 8},
		"order.item":       {0, 2, 3, 4, 6},
		"user.created":     {0, 4, 6},
		"orders.created":   {0, 4, 6},
		"":                 {0, 4, 5},
		"order.":           {0, 2, 3, 4, 6},
	} {
		got := table.Match(nil, &outbox.Event{Type: eventType})
		require.Equal(t, want, indexes(got), "type %q", eventType)
	}
}

func TestMatchByTenant(t *testing.T) {
	t.Parallel()
	table := route.New([]config.Endpoint{
		{Tenant: "acme", Subscriptions: subscribe("a")},
		{Subscriptions: subscribe("a")},
		{Tenant: "other", Subscriptions: subscribe("a")},
		{Tenant: "acme", Subscriptions: subscribe()},
	})
	require.Equal(t, []int{0, 1, 3}, indexes(table.Match(nil, &outbox.Event{Type: "a", Tenant: "acme"})))
	require.Equal(t, []int{1, 2}, indexes(table.Match(nil, &outbox.Event{Type: "a", Tenant: "other"})))
	require.Equal(t, []int{1}, indexes(table.Match(nil, &outbox.Event{Type: "a", Tenant: "unknown"})))
	require.Equal(t, []int{1}, indexes(table.Match(nil, &outbox.Event{Type: "a"})))
}

func TestFirstMatchingSubscriptionGivesTheBody(t *testing.T) {
	t.Parallel()
	large, other := body(t, `{ large = true }`), body(t, `{ large = false }`)
	table := route.New([]config.Endpoint{{Subscriptions: []config.Subscription{
		{Events: []string{"order.*"}, Where: filter(t, `event.data.total > 100`), Body: large},
		{Events: []string{"order.created"}, Body: other},
	}}})
	for payload, want := range map[string]*config.Body{`{"total":101}`: large, `{"total":100}`: other, `{}`: other} {
		e := &outbox.Event{Type: "order.created", Payload: []byte(payload)}
		got := table.Match(nil, e)
		require.Len(t, got, 1)
		require.Same(t, want, got[0].Body, payload)
		require.Same(t, want, table.Body(0, e), payload)
	}
	e := &outbox.Event{Type: "order.paid", Payload: []byte(`{"total":1}`)}
	require.Empty(t, table.Match(nil, e))
	require.Nil(t, table.Body(0, e))
}

func TestMissingIsCountedPerEndpoint(t *testing.T) {
	t.Parallel()
	table := route.New([]config.Endpoint{
		{Subscriptions: []config.Subscription{{Where: filter(t, `event.data.total > 100`)}}},
		{Subscriptions: []config.Subscription{{Where: filter(t, `event.tenant == "a"`)}}},
	})
	for range 3 {
		table.Match(nil, &outbox.Event{Payload: []byte(`{}`)})
	}
	require.EqualValues(t, 3, table.MissingOf(0))
	require.Zero(t, table.MissingOf(1))
}

func TestOperationalEventsGoToThoseThatNameThem(t *testing.T) {
	t.Parallel()
	table := route.New([]config.Endpoint{
		{Subscriptions: subscribe()},
		{Subscriptions: subscribe("**")},
		{Subscriptions: subscribe("*.failed")},
		{Subscriptions: subscribe("webhook.*")},
		{Subscriptions: subscribe("webhook.**")},
		{Subscriptions: subscribe("webhook.failed")},
		{Subscriptions: subscribe("webhook.failing", "*.*")},
		{Tenant: "acme", Subscriptions: subscribe("webhook.failed")},
	})
	op := &outbox.Event{ID: "op_1", Type: outbox.TypeFailed}
	require.Equal(t, []int{3, 4, 5}, indexes(table.Match(nil, op)))
	require.Equal(t, []int{3, 4, 5}, indexes(table.Wanting(nil, op)))
	op.Tenant = "acme"
	require.Equal(t, []int{3, 4, 5, 7}, indexes(table.Match(nil, op)))
	// An application may have events of that name.
	require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6}, indexes(table.Match(nil, &outbox.Event{ID: "7", Type: outbox.TypeFailed})))
	require.Equal(t, []int{0, 1, 3, 4, 6}, indexes(table.Match(nil, &outbox.Event{ID: "op_1", Type: "webhook.other"})))
}

func TestMatchAppends(t *testing.T) {
	t.Parallel()
	table := route.New([]config.Endpoint{{Subscriptions: subscribe()}})
	got := table.Match([]route.Match{{Index: 7}}, &outbox.Event{})
	require.Equal(t, []int{7, 0}, indexes(got))
}

// naive says by the words of the documentation whether an event type matches a pattern.
func naive(pattern, eventType string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(eventType, ".")
	for i, w := range want {
		switch {
		case w == "**":
			return len(have) > i
		case i >= len(have) || (w != "*" && w != have[i]):
			return false
		}
	}
	return len(want) == len(have)
}

func TestMatchAgreesWithNaiveMatcher(t *testing.T) {
	t.Parallel()
	filters := []*config.Filter{nil, filter(t, `event.key == "k"`), filter(t, `event.data.n > 1`)}
	bodies := []*config.Body{nil, body(t, `{ a = 1 }`)}
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.SampledFrom([]string{"a", "b", "c"})
		pattern := rapid.Custom(func(t *rapid.T) string {
			segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 3).Draw(t, "segments")
			if len(segments) == 0 || rapid.Bool().Draw(t, "rest") {
				segments = append(segments, "**")
			}
			return strings.Join(segments, ".")
		})
		tenant := rapid.SampledFrom([]string{"", "t1", "t2"})
		endpoints := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) config.Endpoint {
			return config.Endpoint{
				Tenant: tenant.Draw(t, "tenant"),
				Subscriptions: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) config.Subscription {
					return config.Subscription{
						Events: rapid.SliceOfN(pattern, 0, 3).Draw(t, "events"),
						Where:  rapid.SampledFrom(filters).Draw(t, "where"),
						Body:   rapid.SampledFrom(bodies).Draw(t, "body"),
					}
				}), 1, 3).Draw(t, "subscriptions"),
			}
		}), 0, 6).Draw(t, "endpoints")
		e := &outbox.Event{
			Type:    strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "type"), "."),
			Tenant:  tenant.Draw(t, "event tenant"),
			Key:     rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"),
			Payload: []byte(rapid.SampledFrom([]string{`{}`, `{"n":1}`, `{"n":2}`}).Draw(t, "payload")),
		}

		type match struct {
			index int
			body  *config.Body
		}
		var want []match
		for i := range endpoints {
			if endpoints[i].Tenant != "" && endpoints[i].Tenant != e.Tenant {
				continue
			}
			for _, s := range endpoints[i].Subscriptions {
				takes := len(s.Events) == 0 || slices.ContainsFunc(s.Events, func(p string) bool { return naive(p, e.Type) })
				if takes && s.Where != nil {
					takes, _ = s.Where.Match(e)
				}
				if takes {
					want = append(want, match{i, s.Body})
					break
				}
			}
		}
		table := route.New(endpoints)
		var got []match
		for _, m := range table.Match(nil, e) {
			got = append(got, match{m.Index, m.Body})
			require.Same(t, m.Body, table.Body(m.Index, e))
		}
		require.Equal(t, want, got)
	})
}

// crowd is 10,000 endpoints over 1,000 tenants, as many types wanted, some by pattern, some by
// filter.
func crowd(tb testing.TB) []config.Endpoint {
	tb.Helper()
	where := filter(tb, `event.key != "nobody"`)
	endpoints := make([]config.Endpoint, 10_000)
	for i := range endpoints {
		ep := &endpoints[i]
		ep.Tenant = fmt.Sprintf("tenant-%d", i%1000)
		switch i / 1000 {
		case 0:
			ep.Subscriptions = subscribe("order.*")
		case 1:
			ep.Subscriptions = subscribe("order.created", "order.paid")
		case 2:
			ep.Subscriptions = []config.Subscription{{Events: []string{"order.created"}, Where: where}}
		default:
			ep.Subscriptions = subscribe(fmt.Sprintf("thing-%d.changed", i%77))
		}
	}
	return endpoints
}

func TestMatchAllocatesNothing(t *testing.T) { //nolint:paralleltest // testing.AllocsPerRun counts for the whole process
	table := route.New(crowd(t))
	e := &outbox.Event{Type: "order.created", Tenant: "tenant-77", Key: "k"}
	dst := make([]route.Match, 0, 16)
	require.Len(t, table.Match(dst, e), 3)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst = table.Match(dst[:0], e) }))
}

func BenchmarkMatch10000Endpoints1000Tenants(b *testing.B) {
	table := route.New(crowd(b))
	events := make([]outbox.Event, 1000)
	for i := range events {
		events[i] = outbox.Event{Type: "order.created", Tenant: fmt.Sprintf("tenant-%d", i), Key: "k"}
	}
	dst := make([]route.Match, 0, 16)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = table.Match(dst[:0], &events[i%1000])
	}
}

func BenchmarkMatch10000EndpointsOneTenant(b *testing.B) {
	endpoints := crowd(b)
	for i := range endpoints {
		endpoints[i].Tenant = ""
		endpoints[i].Subscriptions = subscribe(fmt.Sprintf("type-%d.created", i), fmt.Sprintf("other-%d.*", i))
	}
	table := route.New(endpoints)
	e := &outbox.Event{Type: "type-4711.created"}
	dst := make([]route.Match, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		dst = table.Match(dst[:0], e)
	}
}

func BenchmarkMatchFanOut10(b *testing.B) {
	endpoints := make([]config.Endpoint, 10)
	for i := range endpoints {
		endpoints[i].Subscriptions = subscribe()
	}
	table := route.New(endpoints)
	e := &outbox.Event{Type: "order.created"}
	dst := make([]route.Match, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		dst = table.Match(dst[:0], e)
	}
}

func TestChangedTableEqualsOneMadeAnew(t *testing.T) {
	t.Parallel()
	types := []string{"a", "b", "a.b", "c"}
	tenants := []string{"", "t1", "t2"}
	rapid.Check(t, func(t *rapid.T) {
		endpoint := rapid.Custom(func(t *rapid.T) config.Endpoint {
			return config.Endpoint{
				Tenant:        rapid.SampledFrom(tenants).Draw(t, "tenant"),
				Subscriptions: subscribe(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*", "a.*", "**"}), 0, 2).Draw(t, "events")...),
			}
		})
		var now []*config.Endpoint
		table := route.New(nil)
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			var changes []route.Change
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				c := route.Change{Index: rapid.IntRange(0, min(len(now), 5)).Draw(t, "index")}
				if rapid.IntRange(0, 3).Draw(t, "kind") > 0 {
					e := endpoint.Draw(t, "endpoint")
					c.Endpoint = &e
				}
				for c.Index >= len(now) {
					now = append(now, nil)
				}
				now[c.Index] = c.Endpoint
				changes = append(changes, c)
			}
			before, was := table, table.Match(nil, &outbox.Event{Type: "a", Tenant: "t1"})
			table = table.Change(changes)
			require.Equal(t, was, before.Match(nil, &outbox.Event{Type: "a", Tenant: "t1"}), "the old table changed")

			var all []config.Endpoint
			var places []int
			for i, e := range now {
				if e != nil {
					all, places = append(all, *e), append(places, i)
				}
			}
			fresh := route.New(all)
			for _, eventType := range types {
				for _, tenant := range append(tenants, "t3") {
					e := &outbox.Event{Type: eventType, Tenant: tenant}
					var want []int
					for _, i := range indexes(fresh.Match(nil, e)) {
						want = append(want, places[i])
					}
					require.Equal(t, want, append([]int(nil), indexes(table.Match(nil, e))...))
				}
			}
		}
	})
}

func BenchmarkChangeOneOf10000(b *testing.B) {
	endpoints := crowd(b)
	table := route.New(endpoints)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table = table.Change([]route.Change{{Index: i % 10_000, Endpoint: &endpoints[i%10_000]}})
	}
}

func BenchmarkNew10000Endpoints(b *testing.B) {
	endpoints := crowd(b)
	b.ReportAllocs()
	for b.Loop() {
		route.New(endpoints)
	}
}

// An operational event that was parked goes out as it would have at first.
func TestAParkedOperationalEventHasTheBodyOfWhoNamesIt(t *testing.T) {
	t.Parallel()
	all, named := body(t, `{ all = true }`), body(t, `{ named = true }`)
	table := route.New([]config.Endpoint{{Subscriptions: []config.Subscription{
		{Body: all}, {Events: []string{"**"}, Body: all}, {Events: []string{"*.failed"}, Body: all}, {Events: []string{"webhook.failed"}, Body: named},
	}}})
	op := &outbox.Event{ID: "op_1", Type: outbox.TypeFailed}
	got := table.Match(nil, op)
	require.Len(t, got, 1)
	require.Same(t, named, got[0].Body)
	require.Same(t, named, table.Body(0, op))
	own := &outbox.Event{ID: "7", Type: outbox.TypeFailed} // the application's
	require.Same(t, all, table.Match(nil, own)[0].Body)
	require.Same(t, all, table.Body(0, own))
}
