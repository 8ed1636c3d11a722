package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// beginReplay asks for one and gives its id.
func beginReplay(tb testing.TB, b *bundle, endpoint string) string {
	tb.Helper()
	return b.post(tb, "/v1/replays", map[string]any{"endpoint_id": endpoint}).is(http.StatusCreated).text("id")
}

func TestMissingEventsOfAReplayAreListed(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := beginReplay(t, b, b.endpoint(t, ""))
	path := "/v1/replays/" + id + "/missing"
	// Two of a time, so that a page ends between them.
	b.exec(t, `
INSERT INTO tailpost.replay_missing (replay_id, event_id, event_type, tenant, attempted_at, outcome)
SELECT $1, 'event-' || i, 'order.created', 'acme', '2026-03-14 12:00:00+00'::timestamptz + i / 2 * interval '1 microsecond', 'dead'
FROM generate_series(0, 6) AS i`, id)
	b.exec(t, "UPDATE tailpost.replay SET state = 'running', total = 1, missing_found = 7")
	searching := b.get(t, path).is(http.StatusOK)
	require.Equal(t, false, searching.at("complete"))
	shown := b.get(t, "/v1/replays/"+id).is(http.StatusOK)
	require.Nil(t, shown.at("missing"))
	require.Equal(t, 7, shown.at("missing_listed"))
	require.Contains(t, shown.text("note"), "being searched for")

	b.exec(t, "UPDATE tailpost.replay SET missing = missing_found")
	var got []string
	for next := path + "?limit=3"; next != ""; {
		page := b.get(t, next).is(http.StatusOK)
		require.Equal(t, true, page.at("complete"))
		for i := range page.list("data") {
			got = append(got, page.text(fmt.Sprintf("data.%d.event_id", i)))
		}
		next = ""
		if c := page.text("next_cursor"); c != "" {
			next = path + "?limit=3&cursor=" + c
		}
	}
	require.Equal(t, []string{"event-0", "event-1", "event-2", "event-3", "event-4", "event-5", "event-6"}, got)
	first := b.get(t, path+"?limit=1").is(http.StatusOK)
	require.Equal(t, map[string]any{
		"event_id": "event-0", "event_type": "order.created", "tenant": "acme", "attempted_at": "2026-03-14T12:00:00Z", "outcome": "dead",
	}, first.at("data.0"))
	require.Nil(t, b.get(t, "/v1/replays/"+id).is(http.StatusOK).at("note"))

	// More than are kept: the list says that it is not all.
	b.exec(t, "UPDATE tailpost.replay SET missing = 10001, missing_found = 10001")
	require.Equal(t, false, b.get(t, path).is(http.StatusOK).at("complete"))
	require.Equal(t, 10000, b.get(t, "/v1/replays/"+id).is(http.StatusOK).at("missing_listed"))

	b.get(t, path+"?cursor=nonsense").is(http.StatusUnprocessableEntity)
	b.get(t, "/v1/replays/rp_none/missing").is(http.StatusNotFound)
}

func TestReplayTellsWhyItsNumbersAreNotKnown(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := beginReplay(t, b, b.endpoint(t, ""))
	note := func() string {
		t.Helper()
		return b.get(t, "/v1/replays/"+id).is(http.StatusOK).text("note")
	}
	b.exec(t, "UPDATE tailpost.replay SET state = 'running', missing_error = 'it takes too long'")
	require.Equal(t, "What is missing is not known: it takes too long.", note())
	require.Equal(t, false, b.get(t, "/v1/replays/"+id+"/missing").is(http.StatusOK).at("complete"))
	b.exec(t, "UPDATE tailpost.replay SET state = 'cancelled', missing_error = NULL")
	require.Contains(t, note(), "ended before")
	b.exec(t, "UPDATE tailpost.replay SET state = 'done', missing = 0")
	require.Contains(t, note(), "could not be counted")
	b.exec(t, "UPDATE tailpost.replay SET total = 3, done = 1")
	require.Empty(t, note(), "the two are among the missing")
	b.exec(t, "UPDATE tailpost.replay SET missing = 10001, missing_found = 10001")
	require.Contains(t, note(), "2 were gone before it came to them")
	b.exec(t, "UPDATE tailpost.replay SET done = 3")
	require.Empty(t, note())
}

func TestDryRunCountsAsTheReplayWould(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	id := b.endpoint(t, "acme")
	for _, event := range []string{rowOfAcme, noRow, "order-7"} {
		b.attempted(t, event, id, "stream")
	}
	dry := map[string]any{"endpoint_id": id, "dry_run": true}
	all := b.post(t, "/v1/replays", dry).is(http.StatusOK)
	require.Equal(t, 1, all.at("total"), "the row of another tenant is none of this endpoint's")
	require.Equal(t, 0, all.at("missing"), "the attempts are of no tenant")
	b.exec(t, "UPDATE tailpost.attempt SET tenant = 'acme'")
	require.Equal(t, 2, b.post(t, "/v1/replays", dry).is(http.StatusOK).at("missing"))
	none := b.post(t, "/v1/replays", with(dry, "event_types", []string{"user.*"})).is(http.StatusOK)
	require.Equal(t, 0, none.at("total"))
	require.Equal(t, 0, none.at("missing"))
	require.Nil(t, none.at("note"))
	since := time.Now().UTC()
	later := b.post(t, "/v1/replays", map[string]any{
		"endpoint_id": id, "dry_run": true, "since": since.Format(time.RFC3339Nano), "until": since.Add(time.Hour).Format(time.RFC3339Nano),
	}).is(http.StatusOK)
	require.Equal(t, 0, later.at("total"), "all of it was before that")
	require.Equal(t, 0, later.at("missing"))
}

// A range has to have room for an event.
func TestReplayOfARangeWithoutRoomIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	for until, want := range map[string]int{
		"2026-03-14T11:59:59Z": http.StatusUnprocessableEntity, "2026-03-14T12:00:00Z": http.StatusUnprocessableEntity, "2026-03-14T12:00:01Z": http.StatusCreated,
	} {
		b.post(t, "/v1/replays", map[string]any{"endpoint_id": id, "since": "2026-03-14T12:00:00Z", "until": until}).is(want)
	}
}

func TestDryRunSaysWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	id := b.endpoint(t, "")
	b.attempted(t, rowOfAcme, id, "stream")
	b.exec(t, "ALTER TABLE public.outbox RENAME TO really")
	b.exec(t, "CREATE VIEW public.outbox AS SELECT r.* FROM public.really AS r WHERE pg_sleep(60)::text = ''")
	slow := b.post(t, "/v1/replays", map[string]any{"endpoint_id": id, "dry_run": true}).is(http.StatusOK)
	require.Nil(t, slow.at("total"))
	require.Nil(t, slow.at("missing"))
	require.Contains(t, slow.text("note"), "too much to count")
}

func TestDryRunOfATableWithoutTimes(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) {
		c.Outbox.Mapping = outbox.DefaultMapping()
		c.Outbox.Mapping.CreatedAt = ""
	})
	b.insertRows(t)
	id := b.endpoint(t, "")
	dry := map[string]any{"endpoint_id": id, "dry_run": true}
	require.Equal(t, 2, b.post(t, "/v1/replays", dry).is(http.StatusOK).at("total"))
	refused := b.post(t, "/v1/replays", with(dry, "since", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))).is(http.StatusConflict)
	require.Contains(t, refused.text("detail"), "no column for created_at")
}

// Of the two numbers one may take too long and the other not: what is counted is shown, and the
// answer says why the other is not.
func TestDryRunSaysThatOneOfItsNumbersTakesTooLong(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	id := b.endpoint(t, "")
	b.attempted(t, rowOfAcme, id, "stream")
	b.exec(t, "ALTER TABLE tailpost.attempt RENAME TO really")
	b.exec(t, "CREATE FUNCTION canceled() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'canceled' USING ERRCODE = '57014'; END $$")
	b.exec(t, "CREATE VIEW tailpost.attempt AS SELECT r.* FROM tailpost.really AS r WHERE canceled()")
	half := b.post(t, "/v1/replays", map[string]any{"endpoint_id": id, "dry_run": true}).is(http.StatusOK)
	require.Equal(t, 2, half.at("total"))
	require.Nil(t, half.at("missing"))
	require.Contains(t, half.text("note"), "too much to count")
}
