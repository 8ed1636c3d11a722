package panel_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/api"
)

var cells = regexp.MustCompile(`<td[^>]*>(.*?)</td>`)

// TestTheRelayPageShowsThePartitions of a fan-out, with the statement that finds them, and that
// NATS takes nothing. Without a fan-out it has neither.
func TestTheRelayPageShowsThePartitions(t *testing.T) {
	t.Parallel()
	var away atomic.Pointer[time.Time]
	h := newHouse(t, nil, func(o *api.Options) {
		own := o.Status
		o.Status = func() api.Status {
			s := own()
			if at := away.Load(); at != nil {
				s.Unpublished = *at
			}
			return s
		}
	})
	admin := h.loggedIn("admin", houseKey)
	page := admin.get("/panel/relay")
	require.Equal(t, http.StatusOK, page.status)
	require.NotContains(t, page.body, "Partition")
	require.NotContains(t, page.body, "NATS")

	_, err := h.conn.Exec(t.Context(), `
INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, partitions, partition_of)
SELECT slot, 1, owner, '7', 1, 1, settled::pg_lsn, now(), now() - interval '3 hours', partitions, of
FROM (VALUES
    ('tailpost',     'a/1',   '0/100000', 101, NULL),
    ('tailpost#20',  '<b>/2', '0/0',      101, 'tailpost'),
    ('tailpost#100', '',      '0/100000', 101, 'tailpost'),
    ('tailpost#21',  'b/2',   '0/0',      0,   'tailpost')
) AS v (slot, owner, settled, partitions, of)`)
	require.NoError(t, err)
	away.Store(new(time.Now().Add(-2 * time.Hour)))
	page = admin.get("/panel/relay")
	require.Contains(t, page.body, "NATS has taken nothing for the senders since ")
	require.Contains(t, page.body, "The slot keeps what is for them")
	part := regexp.MustCompile(`(?s)<section class="card" id="partitions".*?</section>`).FindString(page.body)
	require.Contains(t, part, "2 of 101; each has its share of the endpoints")
	var shown []string
	for _, cell := range cells.FindAllStringSubmatch(part, -1) {
		text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(cell[1], "")
		shown = append(shown, strings.ReplaceAll(html.UnescapeString(text), "\u00a0", " "))
	}
	const columns = 5
	require.Len(t, shown, 2*columns)
	require.Equal(t, []string{"20", "<b>/2", "1.0 MiB"}, shown[:3])
	require.Contains(t, shown[3], "0/0")
	require.Equal(t, "3 h ago", shown[4])
	require.Equal(t, []string{"100", "nobody yet", "0 B"}, shown[columns:columns+3])

	sql := regexp.MustCompile(`(?s)id="partitions-sql"[^>]*>(.*?)<`).FindStringSubmatch(part)
	require.NotNil(t, sql, part)
	rows, err := h.conn.Query(t.Context(), html.UnescapeString(sql[1]))
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowToMap)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, "tailpost#20", found[0]["slot"])

	_, err = h.conn.Exec(t.Context(), "UPDATE tailpost.relay SET partitions = 0")
	require.NoError(t, err)
	page = admin.get("/panel/relay")
	require.Contains(t, page.body, "This relay delivers alone meanwhile")
	require.NotContains(t, page.body, `id="partitions"`)
}
