package integration_test

import (
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// runDemo starts the demo on a throw-away server of its own.
func runDemo(t *testing.T, args ...string) *kit.Process {
	t.Helper()
	return kit.Start(t, kit.Command{
		Path: kit.Binary(t), Args: append([]string{"demo", "--plain"}, args...),
		Env: map[string]string{"PGBIN": os.Getenv("PGBIN")},
	})
}

func TestTheDemoEndsWithEveryCommittedOrderDelivered(t *testing.T) {
	t.Parallel()
	demo := runDemo(t)
	require.Zero(t, demo.Wait(t, 2*kit.Patience), demo.Output())
	require.Regexp(t, `(?m)^order\.created +\d+ +crm +3 +retry +200 +delivered`, demo.Output())
	require.Contains(t, demo.Output(), "undelivered: 0")
	require.NotRegexp(t, `(?m)^order\.created +1003`, demo.Output(), "the order that was rolled back")
}

func TestTheDemoThatIsKeptServesThePanel(t *testing.T) {
	t.Parallel()
	demo := runDemo(t, "--keep")
	panel := demo.AwaitMatch(t, `http://127\.0\.0\.1:\d+/panel/`)[0]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, panel+"log", http.NoBody)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	page, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, string(page), "order.created")
	http.DefaultClient.CloseIdleConnections()
	require.Zero(t, demo.Stop(t), demo.Output())
}
