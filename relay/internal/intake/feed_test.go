package intake_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// apiRow is the row of an endpoint that was made through the API.
func apiRow(id, name, status string) []outbox.Value {
	row := endpointRow(id, status)
	for i, column := range endpointColumns {
		switch column {
		case "source":
			row[i] = textValue(ledger.SourceAPI)
		case "name":
			row[i] = textValue(name)
		case "subscriptions":
			row[i] = textValue("[]")
		case "policy":
			row[i] = textValue("{}")
		}
	}
	return row
}

// A transaction may change every endpoint that there is: what waits of it is bounded.
func TestChangesOfEndpointsDoNotPileUp(t *testing.T) {
	t.Parallel()
	const endpoints, most = 1200, 512
	b := setupIntake(t, postgres.EventsOptions{})
	b.transaction(t, 100, func() {
		for i := range endpoints {
			require.NoError(t, b.events.Change(postgres.Insert, endpointTable, apiRow(fmt.Sprint("ep_", i), "crm", "active")))
		}
	})
	sum := 0
	for _, changes := range b.changes {
		sum += len(changes)
		require.LessOrEqual(t, len(changes), most)
	}
	require.Equal(t, endpoints, sum)
}

// An endpoint whose row tells nothing to sign with is there, gets nothing, and nothing that it
// should get is lost.
func TestAnEndpointThatCannotBeUsedIsBlocked(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	b.transaction(t, 100, func() {
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, apiRow("ep_1", "ep_1", "active")))
	})
	require.Len(t, b.changes, 1)
	e := b.changes[0][0].Endpoint
	require.True(t, e.Blocked)
	require.Nil(t, e.Sender)
}

// A migration may change the table of endpoints while the stream goes on.
func TestRowsOfEndpointsAreReadByTheColumnsOfTheirTable(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	pauses := func(table *source.Table, row []outbox.Value) {
		require.NoError(t, b.events.Change(postgres.Update, table, row))
	}
	b.transaction(t, 100, func() { pauses(endpointTable, endpointRow("erp", "active")) })
	turned := *endpointTable
	turned.Columns = slices.Clone(turned.Columns)
	slices.Reverse(turned.Columns)
	row := endpointRow("erp", "paused")
	slices.Reverse(row)
	require.Equal(t, []string{"erp is paused", "moved 210"}, b.transaction(t, 200, func() { pauses(&turned, row) }))
}

// A row is written anew for much that an endpoint is not made of: whatever way an endpoint came to
// be known, only what its row says otherwise than before is changed.
func TestARowChangesNoMoreThanWhatItSaysAnew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ source, first string }{
		"known of old":                       {source: ledger.SourceAPI},
		"new":                                {source: ledger.SourceAPI, first: "change ep_1 before 0, gone false"},
		"of the configuration":               {source: ledger.SourceConfig},
		"of the configuration, and not said": {source: ledger.SourceConfig, first: "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := setupSealing(t), setupIntake(t, postgres.EventsOptions{})
			row := s.row(t, "http://127.0.0.1:1/", ledger.Sealed{})
			row.Source, row.Verified = test.source, "a"
			lsn := outbox.LSN(0)
			says := func() []string {
				lsn += 100
				return slices.DeleteFunc(b.transaction(t, lsn, func() {
					require.NoError(t, b.events.Change(postgres.Update, endpointTable, values(&row)))
				}), func(note string) bool { return strings.HasPrefix(note, "moved") })
			}
			feed, _ := s.load(t)
			switch {
			case test.first == "" && test.source == ledger.SourceAPI:
				feed, _ = s.load(t, row)
			case test.first == "":
				feed.Note([]dispatch.Endpoint{{Config: config.Endpoint{ID: row.ID}, State: row.State()}})
			}
			b.useFeed(feed)
			switch test.first {
			case "":
			case "nothing":
				require.Empty(t, says())
			default:
				require.Equal(t, []string{test.first}, says())
			}
			for _, step := range []struct {
				change func()
				want   []string
			}{
				{func() {}, nil},
				{func() { row.Status = ledger.StatusPaused }, []string{"ep_1 is paused"}},
				{func() { row.Verified = "b" }, []string{`ep_1 has shown "b"`}},
				{func() { row.Name = "another" }, []string{"change ep_1 before 0, gone false"}},
			} {
				step.change()
				if row.Name == "another" && test.source == ledger.SourceConfig {
					step.want = nil
				}
				require.ElementsMatch(t, step.want, says())
				require.Empty(t, says(), "it said so before")
			}
		})
	}
}
