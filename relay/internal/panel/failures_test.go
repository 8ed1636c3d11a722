package panel_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestErrorsOfTheLastDayAreCountedExactly: by the counters, whoever failed last and however many
// do.
func TestErrorsOfTheLastDayAreCountedExactly(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	counted := func(id, ago string, failed int, classes string) {
		h.exec(`
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets, classes)
VALUES ($1, date_trunc('hour', now() - $2::text::interval), 100000, 100000 - $3::int, $3, 0, 0, '{100000,0,0,0,0,0,0,0,0,0,0,0,0,0,0}', $4::text::bigint[])`, id, ago, failed, classes)
	}
	loud, quiet, fine := h.endpoint("", "loud"), h.endpoint("acme", "quiet"), h.endpoint("", "fine")
	counted(loud, "2 hours", 41058, "{58,0,58942,0,0,41000}")
	counted(loud, "30 hours", 7, "{0,0,99993,0,7,0}")
	counted(quiet, "20 hours", 902, "{0,0,99098,0,902,0}")
	counted(fine, "1 hour", 0, "{0,0,100000,0,0,0}")
	for range 3 { // the newest are of the one that fails least
		h.attempt(quiet, "e", "acme", "quiet")
	}
	h.exec("UPDATE tailpost.attempt SET status_code = 404")
	h.attempt(loud, "e", "", "loud")
	h.attempt(loud, "later", "", "loud")
	h.exec("UPDATE tailpost.attempt SET status_code = NULL WHERE event_id = 'later'")

	page := h.loggedIn("admin", houseKey).get("/panel/").body
	rows := tableOf(page, "errors")
	require.Equal(t, []string{"name loud answer 500 41,000", "name quiet answer 404 902", "name loud error loud 58"}, rows)
	key, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "acme's", "tenant": "acme", "scopes": []string{"endpoints:read", "deliveries:read"}})["secret"].(string)
	require.Equal(t, []string{"name quiet answer 404 902"}, tableOf(h.loggedIn("acme", key).get("/panel/").body, "errors"), "a tenant counts its own")
}

// TestWhatFailedLastIsTheLastOfAllOutcomes: of what is tried again and what is given up.
func TestWhatFailedLastIsTheLastOfAllOutcomes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	id := h.endpoint("", "mine")
	h.exec(`
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets, classes)
VALUES ($1, date_trunc('hour', now()), 2, 0, 2, 0, 0, '{2,0,0,0,0,0,0,0,0,0,0,0,0,0,0}', '{0,0,0,0,0,2}')`, id)
	h.attempt(id, "again", "", "mine")
	h.attempt(id, "given-up", "", "mine")
	h.exec("UPDATE tailpost.attempt SET outcome = 'dead', status_code = 502 WHERE event_id = 'given-up'")
	admin := h.loggedIn("admin", houseKey)
	require.Equal(t, []string{"name mine answer 502 2"}, tableOf(admin.get("/panel/").body, "errors"))
	h.exec("UPDATE tailpost.attempt SET attempted_at = attempted_at - interval '1 minute' WHERE event_id = 'given-up'")
	require.Equal(t, []string{"name mine answer 500 2"}, tableOf(admin.get("/panel/").body, "errors"))
}

var (
	tag   = regexp.MustCompile(`<[^>]*>`)
	blank = regexp.MustCompile(`\s+`)
)

// tableOf returns the texts of the rows of the table within the element with an id.
func tableOf(page, id string) (rows []string) {
	_, part, _ := strings.Cut(page, `id="`+id+`"`)
	_, part, _ = strings.Cut(part, "<tbody")
	part, _, _ = strings.Cut(part, "</tbody>")
	for _, row := range strings.Split(part, "<tr>")[1:] {
		row, _, _ = strings.Cut(row, `<td class="p2">`) // how long ago
		rows = append(rows, strings.TrimSpace(blank.ReplaceAllString(tag.ReplaceAllString(row, " "), " ")))
	}
	return rows
}
