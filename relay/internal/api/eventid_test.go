package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAnEventIsTheSameHoweverItsIDIsSpelled: the type of the outbox table's id has several
// spellings of one value, and every call that takes one answers to each alike.
func TestAnEventIsTheSameHoweverItsIDIsSpelled(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	id := b.endpoint(t, "")
	b.attempted(t, rowOfAcme, id, "stream")
	b.attempted(t, noRow, id, "stream")
	b.insertDelivery(t, rowOfAcme, id, "dead", 16)
	for _, event := range []string{rowOfAcme, noRow} {
		for _, path := range []string{
			"/v1/events/{id}", "/v1/events/{id}/explain", "/v1/events?id={id}", "/v1/attempts?event_id={id}",
			"/v1/endpoints/" + id + "/attempts?event_id={id}", "/v1/deliveries?event_id={id}",
		} {
			want := b.get(t, strings.Replace(path, "{id}", event, 1)).is(http.StatusOK)
			got := b.get(t, strings.Replace(path, "{id}", strings.ToUpper(event), 1)).is(http.StatusOK)
			require.JSONEq(t, string(want.Body), string(got.Body), path)
			require.Contains(t, string(want.Body)+string(b.get(t, "/v1/attempts?event_id="+event).Body), event)
		}
	}
	upper := strings.ToUpper(rowOfAcme)
	dry := b.post(t, resendPath, map[string]any{"event_id": upper, "dry_run": true}).is(http.StatusOK)
	require.Equal(t, 1, dry.at("matched"))
	require.Equal(t, 1, b.post(t, resendPath, pair(upper, id)).is(http.StatusOK).at("changed"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending' AND event_id = '"+rowOfAcme+"'"))
	require.Equal(t, 1, b.post(t, "/v1/deliveries/discard", map[string]any{"event_id": upper, "state": "pending"}).is(http.StatusOK).at("changed"))

	// A call that takes the id of an event, and is not among these, is missing.
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct {
				Name string `json:"name"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(b.get(t, "/openapi.json").Body, &doc))
	var taken []string
	for path, methods := range doc.Paths {
		for _, op := range methods {
			takes := strings.HasPrefix(path, "/v1/events/{id}")
			for _, p := range op.Parameters {
				takes = takes || p.Name == "event_id"
			}
			if takes {
				taken = append(taken, op.OperationID)
			}
		}
	}
	require.ElementsMatch(t, []string{"get-event", "explain-event", "list-attempts", "stream-attempts", "list-endpoint-attempts", "list-deliveries"}, taken)
}

// What a delivery waits for is said to people, who see no names of fields.
func TestExplanationsNameNoFields(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	for i, reason := range []string{"invalid", "auth_failed", "rejected", "exhausted", "id_reused"} {
		b.insertDelivery(t, reason, id, "dead", 16+i)
		b.exec(t, "UPDATE tailpost.delivery SET reason = $1 WHERE event_id = $1", reason)
	}
	got := b.get(t, "/v1/deliveries").is(http.StatusOK)
	require.Len(t, got.list("data"), 5)
	require.NotContains(t, string(got.Body), "see last_")
}
