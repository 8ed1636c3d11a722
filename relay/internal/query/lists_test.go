package query_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

func endpointIDs(rows []ledger.EndpointRow, err error) ([]string, error) {
	return ids(func(e ledger.EndpointRow) string { return e.ID })(rows, err)
}

func replayIDs(rows []query.Replay, err error) ([]string, error) {
	return ids(func(r query.Replay) string { return r.ID })(rows, err)
}

func resendIDs(rows []query.Resend, err error) ([]string, error) {
	return ids(func(r query.Resend) string { return r.ID })(rows, err)
}

// minute is the place of what was created in that minute of the neighbours' database.
func minute(n int, id string) query.Position {
	return query.Position{At: noon.Add(time.Duration(n) * time.Minute), ID: id}
}

// TestAListOfEndpointsHasWhatItWasAskedFor: each filter leaves out what differs in that one thing.
func TestAListOfEndpointsHasWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	for _, list := range []struct {
		q    query.EndpointQuery
		want []string
	}{
		{query.EndpointQuery{Tenant: "alpha"}, []string{"ep-6", "ep-5", "ep-4", "ep-1"}},
		{query.EndpointQuery{Name: "Erp"}, []string{"ep-6", "ep-4", "ep-3", "ep-2", "ep-1"}},
		{query.EndpointQuery{Status: "paused"}, []string{"ep-5"}},
		{query.EndpointQuery{Source: "config"}, []string{"ep-4"}},
		{query.EndpointQuery{Tenant: "alpha", Trouble: true}, []string{"ep-6", "ep-5"}},
		{query.EndpointQuery{After: minute(3, "ep-3")}, []string{"ep-2", "ep-1"}},
	} {
		list.q.Limit = 10
		got, err := endpointIDs(store.Endpoints(t.Context(), list.q))
		require.NoError(t, err)
		require.Equal(t, list.want, got, "%+v", list.q)
	}
	got, err := endpointIDs(store.SigningEndpoints(t.Context()))
	require.NoError(t, err)
	require.Equal(t, []string{"ep-1"}, got, "those with a key pair")

	of := func(read func(context.Context, *query.Change) ([]ledger.EndpointRow, error)) (got []string) {
		err := change(func(ctx context.Context, c *query.Change) (err error) {
			got, err = endpointIDs(read(ctx, c))
			return err
		})(t.Context(), store)
		require.NoError(t, err)
		return got
	}
	require.ElementsMatch(t, []string{"ep-1", "ep-5", "ep-6"}, of(func(ctx context.Context, c *query.Change) ([]ledger.EndpointRow, error) {
		return c.OwnEndpoints(ctx, "alpha")
	}), "what counts for a tenant's quota")
	for tenant, want := range map[string]string{"alpha": "ep-1", "bravo": "ep-2", "": "ep-3"} {
		require.Equal(t, []string{want}, of(func(ctx context.Context, c *query.Change) ([]ledger.EndpointRow, error) {
			return c.NamedEndpoints(ctx, tenant, "ERP")
		}), "of tenant %q under the name", tenant)
	}
}

// TestAListOfOperationsHasWhatItWasAskedFor is the same for replays and resends.
func TestAListOfOperationsHasWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	for _, list := range []struct {
		q                query.OperationQuery
		replays, resends []string
	}{
		{query.OperationQuery{Tenant: "alpha"}, []string{"replay-5", "replay-3", "replay-1"}, []string{"resend-3", "resend-1"}},
		{query.OperationQuery{EndpointID: "ep-1"}, []string{"replay-3", "replay-1"}, []string{"resend-4", "resend-3", "resend-1"}},
		{query.OperationQuery{State: "pending"}, []string{"replay-5", "replay-2", "replay-1"}, []string{"resend-2", "resend-1"}},
		{query.OperationQuery{After: minute(3, "")}, []string{"replay-2", "replay-1"}, []string{"resend-2", "resend-1"}},
	} {
		list.q.Limit = 10
		replays, err := replayIDs(store.Replays(t.Context(), list.q))
		require.NoError(t, err)
		require.Equal(t, list.replays, replays, "%+v", list.q)
		resends, err := resendIDs(store.Resends(t.Context(), list.q))
		require.NoError(t, err)
		require.Equal(t, list.resends, resends, "%+v", list.q)
	}
	_, page, err := store.Missing(t.Context(), query.MissingQuery{
		Tenant: "alpha", ReplayID: "replay-1", Limit: 10, After: query.MissingPosition{At: noon, EventID: "gone-11"},
	})
	got, err := ids(func(m query.MissingEvent) string { return m.EventID })(page, err)
	require.NoError(t, err)
	require.Equal(t, []string{"gone-12", "gone-13"}, got)
}

// TestAListOfWhoDidWhatHasWhatItWasAskedFor is the same for changes, links and event types.
func TestAListOfWhoDidWhatHasWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	for _, list := range []struct {
		q    query.AuditQuery
		want []int64
	}{
		{query.AuditQuery{Tenant: "alpha"}, []int64{5, 4, 3, 1}},
		{query.AuditQuery{Object: "ep-1"}, []int64{6, 5, 4, 2, 1}},
		{query.AuditQuery{Action: "endpoint.update"}, []int64{6, 5, 3, 2, 1}},
		{query.AuditQuery{Actor: "key-2"}, []int64{5}},
		{query.AuditQuery{After: 3}, []int64{2, 1}},
	} {
		list.q.Limit = 10
		page, err := store.Changes(t.Context(), list.q)
		require.NoError(t, err)
		var got []int64
		for i := range page {
			got = append(got, page[i].ID)
		}
		require.Equal(t, list.want, got, "%+v", list.q)
	}
	for _, list := range []struct {
		tenant string
		after  query.Position
		want   []string
	}{
		{"", query.Position{}, []string{"link-5", "link-2", "link-1"}},
		{"alpha", query.Position{}, []string{"link-5", "link-1"}},
		{"", minute(2, "link-2"), []string{"link-1"}},
	} {
		page, err := store.PortalLinks(t.Context(), list.tenant, noon, list.after, 10)
		got, err := ids(func(l query.PortalLink) string { return l.ID })(page, err)
		require.NoError(t, err)
		require.Equal(t, list.want, got, "%+v", list)
	}
	types, err := store.EventTypes(t.Context(), "order.created", 10)
	got, err := ids(func(e query.EventType) string { return e.Name })(types, err)
	require.NoError(t, err)
	require.Equal(t, []string{"order.paid", "user.gone"}, got)
}

// TestAListOfKeysHasWhatItWasAskedFor: those of a tenant, of which one that the configuration has
// no more is none.
func TestAListOfKeysHasWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	later := noon.Add(time.Minute)
	for _, was := range []query.Key{{ID: "conf", Scopes: []string{"read"}}, {ID: "conf", Tenant: "bravo", Scopes: []string{"read"}}} { // another tenant's, before a reload
		require.NoError(t, store.NoteKeys(t.Context(), []query.Key{was}, later))
	}
	require.NoError(t, store.NoteKeys(t.Context(), []query.Key{{ID: "conf", Tenant: "alpha", Scopes: []string{"read"}}, {ID: "conf-old", Tenant: "alpha", Scopes: []string{"read"}}}, later))
	created := query.Key{ID: "key-3", Name: "new", Prefix: "tp_", Scopes: []string{"read"}, Tenant: "bravo"}
	_, err := store.Change(t.Context(), query.Actor{ID: "key-1"}, query.Remembered{}, later, func(ctx context.Context, c *query.Change) ([]byte, error) {
		return nil, c.CreateKey(ctx, &created, []byte("hash"))
	})
	require.NoError(t, err)
	for _, list := range []struct {
		tenant string
		after  query.Position
		want   []string
	}{
		{"", query.Position{}, []string{"key-3", "conf", "key-2", "key-1"}},
		{"alpha", query.Position{}, []string{"conf", "key-1"}},
		{"bravo", query.Position{}, []string{"key-3", "key-2"}},
		{"", query.Position{At: noon, ID: "key-2"}, []string{"key-1"}},
	} {
		page, err := store.Keys(t.Context(), list.tenant, []string{"conf"}, list.after, 10)
		got, err := ids(func(k query.Key) string { return k.ID })(page, err)
		require.NoError(t, err)
		require.Equal(t, list.want, got, "%+v", list)
	}
	got, err := store.KeyByHash(t.Context(), []byte("hash"))
	require.NoError(t, err)
	require.Equal(t, []string{"key-3", "api", "key-1", "bravo"}, []string{got.ID, got.Source, got.CreatedBy, got.Tenant})
	got.CreatedAt = got.CreatedAt.UTC()
	require.Equal(t, created, got)
	_, err = store.KeyByHash(t.Context(), []byte("none"))
	require.ErrorIs(t, err, query.ErrNotFound)
}

// TestAnOperationIsAsItWasAskedFor: by whom, when, and of what. It waits for the relay.
func TestAnOperationIsAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	since, total := noon.Add(-time.Hour), int64(3)
	replay := query.Replay{Operation: query.Operation{ID: "replay-new", EndpointID: "ep-1"}, Since: &since, Until: noon}
	resend := query.Resend{
		Operation: query.Operation{ID: "resend-new", Total: &total}, Tenant: "alpha", Selection: ledger.DeliveryFilter{EndpointID: "ep-1", State: "dead"},
	}
	require.NoError(t, change(func(ctx context.Context, c *query.Change) error {
		return errors.Join(c.CreateReplay(ctx, &replay), c.CreateResend(ctx, &resend))
	})(t.Context(), store))
	for _, o := range []query.Operation{replay.Operation, resend.Operation} {
		require.Equal(t, []string{"ep-1", "pending", "key-1"}, []string{o.EndpointID, o.State, o.CreatedBy})
		require.Equal(t, query.Position{At: noon, ID: o.ID}, o.Position())
	}
	gotReplay, err := store.Replay(t.Context(), "alpha", "replay-new")
	require.NoError(t, err)
	require.Empty(t, gotReplay.Types)
	require.Equal(t, []string{"pending", "key-1"}, []string{gotReplay.State, gotReplay.CreatedBy})
	require.True(t, gotReplay.Since.Equal(since) && gotReplay.Until.Equal(noon) && gotReplay.CreatedAt.Equal(noon) && gotReplay.UpdatedAt.Equal(noon))
	gotResend, err := store.Resend(t.Context(), "alpha", "resend-new")
	require.NoError(t, err)
	require.Equal(t, resend.Selection, gotResend.Selection)
	require.Equal(t, []string{"ep-1", "pending", "key-1"}, []string{gotResend.EndpointID, gotResend.State, gotResend.CreatedBy})
	require.EqualValues(t, 3, *gotResend.Total)
}

// TestDeliveriesAreCountedAsTheyWereAskedFor: as many as there are, and no later than the last one
// came into its state.
func TestDeliveriesAreCountedAsTheyWereAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	for _, count := range []struct {
		f    ledger.DeliveryFilter
		want int64
	}{{ledger.DeliveryFilter{}, 6}, {ledger.DeliveryFilter{State: "dead"}, 3}, {ledger.DeliveryFilter{Tenant: "alpha"}, 2}, {ledger.DeliveryFilter{EndpointID: "none"}, 0}} {
		n, err := store.CountDeliveries(t.Context(), count.f)
		require.NoError(t, err)
		require.Equal(t, count.want, n, "%+v", count.f)
		total, err := store.CountResend(t.Context(), count.f)
		require.NoError(t, err)
		require.Equal(t, count.want, *total, "%+v", count.f)
		n, asOf, err := store.CountDeliveriesAsOf(t.Context(), count.f)
		require.NoError(t, err)
		require.Equal(t, count.want, n, "%+v", count.f)
		if n == 0 {
			require.Zero(t, asOf)
			continue
		}
		require.Equal(t, noon, asOf)
	}
}

// TestAReplayIsCountedAsItWouldBe: the rows of its range, and what was attempted there and has
// none.
func TestAReplayIsCountedAsItWouldBe(t *testing.T) {
	t.Parallel()
	store, _ := neighbouringEvents(t)
	all := func(string) bool { return true }
	for name, count := range map[string]struct {
		rg             scan.Range
		total, missing int64
	}{
		"all":        {scan.Range{EndpointID: "ep-1", Until: noon, Wants: all}, 5, 1},
		"a tenant's": {scan.Range{EndpointID: "ep-2", Tenant: "bravo", Until: noon, Wants: all}, 1, 1},
		"since":      {scan.Range{EndpointID: "ep-1", Since: ago(60), Until: noon, Wants: all}, 2, 1},
		"until":      {scan.Range{EndpointID: "ep-1", Since: ago(60), Until: ago(50), Wants: all}, 1, 0},
		"of a type":  {scan.Range{EndpointID: "ep-1", Until: noon, Wants: func(name string) bool { return name == "order.paid" }}, 1, 0},
	} {
		total, missing, err := store.CountReplay(t.Context(), count.rg)
		require.NoError(t, err)
		require.Equal(t, []int64{count.total, count.missing}, []int64{*total, *missing}, name)
	}
}

// TestWhatIsAnothersIsNotFound: whoever is bound to a tenant finds what is its own, and whoever is
// not finds everything.
func TestWhatIsAnothersIsNotFound(t *testing.T) {
	t.Parallel()
	store, conn := neighbours(t)
	ctx := t.Context()
	_, err := conn.Exec(ctx, "INSERT INTO tailpost.api_key (id, name, source, hash, scopes, created_by, created_at) VALUES ('key-3', 'k', 'api', 'hash', '{}', 'config', now())")
	require.NoError(t, err)
	changing := func(read func(*query.Change) error) error {
		return change(func(_ context.Context, c *query.Change) error { return read(c) })(ctx, store)
	}
	reads := map[string]func(tenant, n string) error{
		"endpoint": func(tenant, n string) error { _, err := store.Endpoint(ctx, tenant, "ep-"+n); return err },
		"replay":   func(tenant, n string) error { _, err := store.Replay(ctx, tenant, "replay-"+n); return err },
		"resend":   func(tenant, n string) error { _, err := store.Resend(ctx, tenant, "resend-"+n); return err },
		"missing events": func(tenant, n string) error {
			_, _, err := store.Missing(ctx, query.MissingQuery{Tenant: tenant, ReplayID: "replay-" + n, Limit: 1})
			return err
		},
		"endpoint to change": func(tenant, n string) error {
			return changing(func(c *query.Change) error { _, err := c.Endpoint(ctx, tenant, "ep-"+n); return err })
		},
		"replay to change": func(tenant, n string) error {
			return changing(func(c *query.Change) error { _, err := c.LockReplay(ctx, tenant, "replay-"+n); return err })
		},
		"resend to change": func(tenant, n string) error {
			return changing(func(c *query.Change) error { _, err := c.LockResend(ctx, tenant, "resend-"+n); return err })
		},
		"link to change": func(tenant, n string) error {
			return changing(func(c *query.Change) error { _, err := c.PortalLink(ctx, tenant, "link-"+n); return err })
		},
		"key to change": func(tenant, n string) error {
			return changing(func(c *query.Change) error { _, err := c.Key(ctx, tenant, "key-"+n); return err })
		},
	}
	for name, read := range reads {
		require.NoError(t, read("alpha", "1"), name)
		require.NoError(t, read("", "1"), name)
		require.NoError(t, read("", "2"), name)
		require.ErrorIs(t, read("alpha", "2"), query.ErrNotFound, name)
		require.ErrorIs(t, read("", "none"), query.ErrNotFound, name)
	}
	for name, n := range map[string]string{ // of no tenant
		"endpoint": "3", "endpoint to change": "3", "replay": "4", "replay to change": "4", "missing events": "4", "resend": "4", "resend to change": "4", "key to change": "3",
	} {
		require.NoError(t, reads[name]("", n), name)
		require.ErrorIs(t, reads[name]("alpha", n), query.ErrNotFound, "%s of no tenant", name)
	}
}

// TestARequestThatRunsIsNotMadeBesideItself: who repeats it meanwhile is told so.
func TestARequestThatRunsIsNotMadeBesideItself(t *testing.T) {
	t.Parallel()
	store, _ := migrated(t)
	r := query.Remembered{Key: []byte("once"), Request: []byte("request")}
	_, err := store.Change(t.Context(), query.Actor{}, r, noon, func(ctx context.Context, _ *query.Change) ([]byte, error) {
		_, err := store.Change(ctx, query.Actor{}, r, noon, func(context.Context, *query.Change) ([]byte, error) {
			return nil, errors.New("it runs twice")
		})
		require.ErrorIs(t, err, query.ErrConflict)
		require.ErrorContains(t, err, "still running")
		return []byte("answer"), nil
	})
	require.NoError(t, err)
	again, err := store.Recall(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "answer", string(again))
}

// TestAnAnswerIsThatOfItsRequest: of several that are kept, and likewise of sessions and links.
func TestAnAnswerIsThatOfItsRequest(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	for _, n := range []string{"1", "2"} {
		r := query.Remembered{Key: []byte("again-" + n), Request: []byte("request")}
		again, err := store.Recall(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, "answer to again-"+n, string(again))
		again, err = store.Change(t.Context(), query.Actor{}, r, noon, func(context.Context, *query.Change) ([]byte, error) {
			return nil, errors.New("it was answered")
		})
		require.NoError(t, err)
		require.Equal(t, "answer to again-"+n, string(again))

		r.Request = []byte("another request")
		_, err = store.Recall(t.Context(), r)
		require.ErrorIs(t, err, query.ErrReused)
		_, err = store.Change(t.Context(), query.Actor{}, r, noon, func(context.Context, *query.Change) ([]byte, error) {
			return nil, errors.New("its key was used")
		})
		require.ErrorIs(t, err, query.ErrReused)

		login, err := store.Session(t.Context(), []byte("session-"+n))
		require.NoError(t, err)
		require.Equal(t, "session-"+n, string(login.Hash))
		link, err := store.PortalLink(t.Context(), "link-"+n)
		require.NoError(t, err)
		require.Equal(t, "link-"+n, link.ID)
	}
	for _, r := range []query.Remembered{{}, {Key: []byte("again-none"), Request: []byte("request")}} {
		again, err := store.Recall(t.Context(), r)
		require.NoError(t, err)
		require.Nil(t, again, "nobody asked")
	}
}

// An endpoint was verified when it last showed that it wants events. That it did not, since, says
// why and changes neither what it has shown nor when.
func TestTheTimeOfAVerificationIsThatOfTheLastSuccess(t *testing.T) {
	t.Parallel()
	store, conn := neighbours(t)
	verify := func(at time.Time, proof, problem string) {
		_, err := store.Change(t.Context(), query.Actor{}, query.Remembered{}, at, func(ctx context.Context, c *query.Change) ([]byte, error) {
			return nil, c.SaveVerification(ctx, "ep-1", proof, problem)
		})
		require.NoError(t, err)
	}
	verified := func(want time.Time, proof, problem string) {
		var at time.Time
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT verified_at FROM tailpost.endpoint WHERE id = 'ep-1'").Scan(&at))
		require.Equal(t, want, at.UTC())
		e, err := store.Endpoint(t.Context(), "", "ep-1")
		require.NoError(t, err)
		require.Equal(t, []string{proof, problem}, []string{e.Verified, e.VerifyError})
	}
	verify(noon, "a", "")
	verified(noon, "a", "")
	verify(noon.Add(time.Hour), "", "no answer")
	verified(noon, "a", "no answer")
	verify(noon.Add(2*time.Hour), "b", "")
	verified(noon.Add(2*time.Hour), "b", "")
}

// TestCountersAreThoseOfTheirEndpoint: and of their time.
func TestCountersAreThoseOfTheirEndpoint(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	totals, err := store.Totals(t.Context(), []string{"ep-1"})
	require.NoError(t, err)
	require.Len(t, totals, 1)
	require.EqualValues(t, 33, totals["ep-1"].Attempts)
	sums, err := store.Stats(t.Context(), "ep-1", []time.Time{{}, noon.Add(-time.Hour)})
	require.NoError(t, err)
	require.Equal(t, []int64{33, 21}, []int64{sums[0].Attempts, sums[1].Attempts})
}

// ids returns what tells the rows of a list apart.
func ids[T any](id func(T) string) func([]T, error) ([]string, error) {
	return func(rows []T, err error) ([]string, error) {
		list := make([]string, len(rows))
		for i := range rows {
			list[i] = id(rows[i])
		}
		return list, err
	}
}
