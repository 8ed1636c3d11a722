package panel_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// "Where is order 42?", asked in the box of every page: the event itself, whether it was sent or
// waits at a paused endpoint, and the list where there are several.
func TestWhereIsOrder42(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL+`outbox { search = { order = event.data.order_id } }`)
	good := w.endpoint("Good", "/good", map[string]any{"events": []string{"order.created"}})
	idle := w.endpoint("Idle", "/idle", map[string]any{"events": []string{"order.held"}})
	w.call(http.MethodPost, "/v1/endpoints/"+idle+"/pause", nil)
	sent := w.insert("order.created", "", `{"order_id": 42}`)
	w.insert("order.created", "", `{"order_id": 43}`)
	w.attempts(good, 2)
	v := loggedIn(t, w, adminKey)

	led := v.get("/panel/find?q=42")
	require.Equal(t, http.StatusSeeOther, led.status)
	require.Equal(t, "/panel/events/"+sent, led.header.Get("Location"))
	require.Equal(t, "/panel/events?key=order-42", v.get("/panel/find?q=order-42").header.Get("Location"), "what is no such value is a key")

	page := v.get("/panel/log?search=order%3D42")
	require.Contains(t, page.body, sent)
	require.Contains(t, page.body, `placeholder="order=42"`)
	require.Contains(t, page.body, "search &amp;&amp; ARRAY[&#39;order=42&#39;]::text[]")
	require.Contains(t, page.body, "--search &#39;order=42&#39;")
	require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.attempt WHERE search IS NOT NULL AND search && ARRAY['order=42']::text[]"))

	held := w.insert("order.held", "", `{"order_id": "42"}`)
	kit.Eventually(t, kit.Patience, func() error {
		return w.parked(held)
	})
	require.Equal(t, "/panel/events?search=42", v.get("/panel/find?q=42").header.Get("Location"))
	kit.Eventually(t, kit.Patience, func() error { // a page ends when its time is over
		if list := v.get("/panel/events?search=42").body; !strings.Contains(list, sent) || !strings.Contains(list, held) {
			return errors.New("the list lacks one of the two")
		}
		return nil
	})
	require.Equal(t, "/panel/events?search=order%3D7", v.get("/panel/find?q=order%3D7").header.Get("Location"))
}
