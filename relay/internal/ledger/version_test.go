package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// insertEndpoint writes an endpoint as the API does.
func insertEndpoint(t *testing.T, b *bundle, row ledger.EndpointRow) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), `
		INSERT INTO tailpost.endpoint (id, tenant, name, url, description, subscriptions, policy, status, source, secrets, created_at, updated_at)
		VALUES (@id, NULLIF(@tenant, ''), @name, @url, @description, @subscriptions::text::jsonb, @policy::text::jsonb, 'active', 'api', @secrets, now(), now())`,
		pgx.NamedArgs{
			"id": row.ID, "tenant": row.Tenant, "name": row.Name, "url": row.URL, "description": row.Description,
			"subscriptions": string(row.Subscriptions), "policy": string(row.Policy), "secrets": row.Secrets,
		})
	require.NoError(t, err)
}

func apiRow(id, url string) ledger.EndpointRow {
	return ledger.EndpointRow{
		ID: id, Name: id, URL: url, Subscriptions: []byte(`[{"events":["a"]}]`), Policy: []byte(`{"timeout":"1s"}`),
		Secrets: []byte{0, 1, 2, 0xff, '\\'}, Tenant: "acme",
	}
}

func version(t *testing.T, lsn outbox.LSN, seq int64, row ledger.EndpointRow) ledger.EndpointVersion {
	t.Helper()
	text, err := ledger.EncodeVersion(&row)
	require.NoError(t, err)
	return ledger.EndpointVersion{EndpointID: row.ID, CommitLSN: lsn, Seq: seq, Row: text}
}

func readURLs(t *testing.T, b *bundle, before outbox.LSN) map[string]string {
	t.Helper()
	rows, err := b.ledger.Versions(t.Context(), before)
	require.NoError(t, err)
	urls := map[string]string{}
	for _, row := range rows {
		urls[row.ID] = row.URL
	}
	return urls
}

func TestVersions_areThoseBeforeAPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	insertEndpoint(t, b, apiRow("ep_1", "https://now.example"))
	insertEndpoint(t, b, apiRow("ep_2", "https://now.example"))
	record := func(settled outbox.LSN, vs ...ledger.EndpointVersion) {
		require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Versions: vs, Settled: settled, Now: noon}))
	}
	record(5, version(t, 10, 0, apiRow("ep_1", "https://v1.example")), version(t, 10, 1, apiRow("ep_1", "https://v2.example")))
	record(15, version(t, 20, 0, apiRow("ep_1", "https://v3.example")), version(t, 20, 0, apiRow("ep_2", "https://v1.example")),
		version(t, 30, 0, apiRow("ep_3", "https://gone-by-now.example")))
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.endpoint_version WHERE endpoint_id = 'ep_1'"), "what nobody will ask for is gone")
	require.Equal(t, map[string]string{"ep_1": "https://v2.example"}, readURLs(t, b, 15))
	require.Equal(t, map[string]string{"ep_1": "https://v3.example", "ep_2": "https://v1.example"}, readURLs(t, b, 31))

	// Read once more after a restart, the same change has the same place.
	record(20, version(t, 40, 0, apiRow("ep_2", "https://v2.example")))
	record(21, version(t, 40, 0, apiRow("ep_2", "https://v2.example")))
	require.Equal(t, map[string]string{"ep_1": "https://v3.example", "ep_2": "https://v2.example"}, readURLs(t, b, 41))

	record(41, ledger.EndpointVersion{EndpointID: "ep_2", CommitLSN: 50})
	require.Equal(t, "https://v2.example", readURLs(t, b, 50)["ep_2"])
	require.NotContains(t, readURLs(t, b, 51), "ep_2")
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.endpoint_version WHERE endpoint_id = 'ep_2'"))
}

// A relay that starts in the middle of what was settled routes by the version of its place: those
// of later are to come once more, and those of before are needed as long as the frontier has not
// passed their successors.
func TestVersions_areKeptUntilTheFrontierHasPassedTheirSuccessors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	insertEndpoint(t, b, apiRow("ep_1", "https://now.example"))
	record := func(settled outbox.LSN, vs ...ledger.EndpointVersion) {
		require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Versions: vs, Settled: settled, Now: noon}))
	}
	kept := func() int { return b.count(t, "SELECT count(*) FROM tailpost.endpoint_version") }
	record(5, version(t, 10, 0, apiRow("ep_1", "https://v1.example")))
	record(10, version(t, 20, 0, apiRow("ep_1", "https://v2.example")))
	require.Equal(t, 2, kept())
	require.Empty(t, readURLs(t, b, 10), "a change takes effect behind its commit")
	require.Equal(t, map[string]string{"ep_1": "https://v1.example"}, readURLs(t, b, 11))
	// The frontier stands at the commit of the second version, not behind it: whoever starts there
	// reads it once more.
	record(20, version(t, 30, 0, apiRow("ep_1", "https://v3.example")))
	require.Equal(t, map[string]string{"ep_1": "https://v1.example"}, readURLs(t, b, 20))
	require.Equal(t, 3, kept())
	record(31, version(t, 40, 0, apiRow("ep_1", "https://v4.example")))
	require.Equal(t, 2, kept(), "the newest before the frontier, and what comes after it")
	require.Equal(t, map[string]string{"ep_1": "https://v3.example"}, readURLs(t, b, 31))
}

// TestVersions_areKeptForThePartitionThatIsBehind: who reads the slot is further than a sender,
// which has to find the endpoints as they were where it is.
func TestVersions_areKeptForThePartitionThatIsBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	insertEndpoint(t, b, apiRow("ep_1", "https://now.example"))
	record := func(settled outbox.LSN, vs ...ledger.EndpointVersion) {
		require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Versions: vs, Settled: settled, Now: noon}))
	}
	kept := func() int { return b.count(t, "SELECT count(*) FROM tailpost.endpoint_version") }
	record(5, version(t, 10, 0, apiRow("ep_1", "https://v1.example")))
	record(15)
	_, err := b.ledger.Publishing(t.Context(), hold, ledger.PublishingOptions{Partitions: 1, Now: noon})
	require.NoError(t, err) // the partition begins at 15
	record(25, version(t, 20, 0, apiRow("ep_1", "https://passing.example")), version(t, 20, 1, apiRow("ep_1", "https://v2.example")))
	record(35, version(t, 30, 0, apiRow("ep_1", "https://v3.example")))
	require.Equal(t, map[string]string{"ep_1": "https://v3.example"}, readURLs(t, b, 35), "the reader's")
	require.Equal(t, 4, kept())
	require.Equal(t, map[string]string{"ep_1": "https://v1.example"}, readURLs(t, b, 15), "the sender's")
	require.Equal(t, map[string]string{"ep_1": "https://v2.example"}, readURLs(t, b, 25), "the last of a transaction")
	b.exec(t, "UPDATE tailpost.relay SET settled_lsn = '0/19' WHERE partition_of IS NOT NULL")
	record(45, version(t, 40, 0, apiRow("ep_1", "https://v4.example")))
	require.Equal(t, 3, kept(), "the sender has come to 25")
	require.Equal(t, map[string]string{"ep_1": "https://v2.example"}, readURLs(t, b, 25))
}

// A transaction that is read again within a batch, after a reconnect, has the same places.
func TestVersions_readTwiceInABatchAreTheLast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	insertEndpoint(t, b, apiRow("ep_1", "https://now.example"))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: 11, Now: noon, Versions: []ledger.EndpointVersion{
		version(t, 10, 0, apiRow("ep_1", "https://v1.example")), version(t, 10, 0, apiRow("ep_1", "https://v2.example")),
	}}))
	require.Equal(t, map[string]string{"ep_1": "https://v2.example"}, readURLs(t, b, 11))
}

func TestVersions_haveTheStateOfNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	insertEndpoint(t, b, apiRow("ep_1", "https://now.example"))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Versions:  []ledger.EndpointVersion{version(t, 10, 0, apiRow("ep_1", "https://v1.example"))},
		Endpoints: []ledger.EndpointChange{{EndpointID: "ep_1", Status: ledger.StatusDisabled, DisabledReason: "answered 410", FailingSince: noon}},
		Settled:   11, Now: noon,
	}))
	rows, err := b.ledger.Versions(t.Context(), 11)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, ledger.EndpointState{Status: ledger.StatusDisabled, DisabledReason: "answered 410", FailingSince: noon}, rows[0].State())
}

// On another cluster the stream does not lead up to now without a gap, whatever was noted there.
func TestResetVersions_onAnotherClusterAreTheTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	insertEndpoint(t, b, apiRow("ep_1", "https://now.example"))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Versions: []ledger.EndpointVersion{version(t, 10, 0, apiRow("ep_1", "https://v1.example"))}, Settled: 11, Now: noon,
	}))
	require.NoError(t, b.ledger.ResetVersions(t.Context(), "s", "7", false))
	require.Equal(t, map[string]string{"ep_1": "https://v1.example"}, readURLs(t, b, 11))
	require.NoError(t, b.ledger.ResetVersions(t.Context(), "s", "8", false))
	require.Equal(t, map[string]string{"ep_1": "https://now.example"}, readURLs(t, b, 1))
}

func TestVersions_anewAreTheTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := apiRow("ep_1", "https://now.example")
	long.Description = strings.Repeat("x", 100_000)
	insertEndpoint(t, b, long)
	_, err := b.ledger.Mirror(t.Context(), endpoints("erp"), noon)
	require.NoError(t, err)
	_, err = b.conn.Exec(t.Context(), `INSERT INTO tailpost.endpoint_version VALUES ('ep_old', '0/5', 0, '{}')`)
	require.NoError(t, err)
	require.NoError(t, b.ledger.ResetVersions(t.Context(), "s", "7", false))
	require.Contains(t, readURLs(t, b, 100), "ep_1", "a slot that was never taken begins with the table")
	_, err = b.conn.Exec(t.Context(), `DELETE FROM tailpost.endpoint_version`)
	require.NoError(t, err)
	take(t, b.ledger)
	require.NoError(t, b.ledger.ResetVersions(t.Context(), "s", "7", false))
	require.Empty(t, readURLs(t, b, 100), "later nothing of the table is taken without a reason")

	require.NoError(t, b.ledger.ResetVersions(t.Context(), "s", "7", true))
	rows, err := b.ledger.Versions(t.Context(), 100)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	want := apiRow("ep_1", "https://now.example")
	require.Equal(t, want.Secrets, rows[0].Secrets)
	require.Equal(t, want.Tenant, rows[0].Tenant)
	require.JSONEq(t, string(want.Policy), string(rows[0].Policy))
	require.JSONEq(t, string(want.Subscriptions), string(rows[0].Subscriptions))
	require.Equal(t, "active", rows[0].Status)
	require.Equal(t, map[string]string{"ep_1": "https://now.example"}, readURLs(t, b, 1))

	present, err := b.ledger.Present(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, present, 1)
	require.Equal(t, rows[0].Policy, present[0].Policy, "a version and its row can be compared")
	encoded, err := ledger.EncodeVersion(&rows[0])
	require.NoError(t, err)
	again, err := ledger.EncodeVersion(&present[0])
	require.NoError(t, err)
	require.Equal(t, encoded, again)
}

func TestRecord_dropsTheDeliveriesOfAnEndpointThatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	late := pending("e3", "ep_1", "", 20, noon)
	late.Event.Seq = 7
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Park:    []outbox.Delivery{pending("e1", "ep_1", "", 10, noon), pending("e2", "ep_2", "", 10, noon), late},
		Dropped: []ledger.Dropped{{EndpointID: "ep_1", CommitLSN: 20, Seq: 7}}, Now: noon,
	}))
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.delivery"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'ep_1' AND event_id = 'e3'"))
}

func TestPage_givesTheTrigger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{pending("e1", "ep_1", "", 10, noon)}, Now: noon}))
	_, err := b.conn.Exec(t.Context(), "UPDATE tailpost.delivery SET trigger = 'resend'")
	require.NoError(t, err)
	page, err := b.ledger.Page(t.Context(), ledger.PageQuery{EndpointID: "ep_1", Now: noon, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, outbox.TriggerResend, page.Deliveries[0].Trigger)
}

func TestRowParser(t *testing.T) {
	t.Parallel()
	names := []string{"id", "tenant", "name", "url", "description", "subscriptions", "policy", "status", "disabled_reason", "failing_since", "source", "secrets", "version"}
	var columns []outbox.Column
	for _, n := range names {
		columns = append(columns, outbox.Column{Name: n})
	}
	text := func(s string) outbox.Value { return outbox.Value{Kind: outbox.TextValue, Data: []byte(s)} }
	null := outbox.Value{Kind: outbox.NullValue}
	row := []outbox.Value{
		text("ep_1"), null, text("n"), text("u"), text(""), text("[]"), text("{}"), text("disabled"), text("why"),
		text("2026-03-14 12:00:00.5+00"), text("api"), text(`\x00ff`), text("7"),
	}
	p, err := ledger.NewRowParser(columns)
	require.NoError(t, err)
	require.Equal(t, "ep_1", p.ID(row))
	e, err := p.Parse(row)
	require.NoError(t, err)
	require.Equal(t, ledger.EndpointRow{
		ID: "ep_1", Name: "n", URL: "u", Subscriptions: []byte("[]"), Policy: []byte("{}"), Status: "disabled",
		DisabledReason: "why", FailingSince: noon.Add(500 * time.Millisecond), Source: "api", Secrets: []byte{0, 0xff}, Version: 7,
	}, e)

	for name, bad := range map[string]struct {
		at    int
		value outbox.Value
	}{
		"unchanged": {6, outbox.Value{Kind: outbox.UnchangedTOAST}}, "secrets": {11, text("hunter2")}, "version": {12, text("x")}, "time": {9, text("14.03.2026")},
	} {
		broken := append([]outbox.Value{}, row...)
		broken[bad.at] = bad.value
		_, err := p.Parse(broken)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err = ledger.NewRowParser(columns[1:])
	require.ErrorContains(t, err, `no column "id"`)
}
