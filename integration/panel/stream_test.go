package panel_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestTheLogIsLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/bad", kit.Respond(http.StatusInternalServerError, markup))
	good := w.endpoint("Good"+markup, "/good", map[string]any{"events": []string{"order.*"}})
	w.endpoint("Bad", "/bad", map[string]any{"events": []string{"invoice.*"}})
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/log")
	b.until("document.querySelector('[data-tail-state]').textContent === 'Live'")
	id := w.insert("order.created", "", `{}`)
	b.sees(id)
	require.True(t, eval[bool](b, "window.pwned === undefined && !document.querySelector('main img')"))
	w.insert("invoice.sent", "", `{}`)
	b.until("document.querySelectorAll('[data-rows] tr').length === 2 && document.querySelector('[data-rows] tr').innerText.includes('invoice.sent')")

	// While it pauses, what arrives is held, and comes when it goes on.
	b.keys("p")
	b.until("document.querySelector('[data-tail-state]').textContent === 'Paused'")
	held := w.insert("order.paid", "", `{}`)
	b.until("document.querySelector('[data-tail-state]').textContent === 'Paused, 1 new'")
	require.NotContains(t, b.text(), held)
	b.click("[data-pause]")
	b.sees(held)

	// A filter holds for what arrives too.
	b.open("/panel/log?outcome=dead")
	b.until("document.querySelector('[data-tail-state]').textContent === 'Live'")
	w.insert("order.created", "", `{}`)
	w.attempts(good, 3) // it is on record, so that what comes later would come after it
	dead := w.insert("invoice.sent", "", `{}`)
	b.sees(dead)
	require.NotContains(t, b.text(), "order.")
}

// TestTheLogIsLiveWithinASecond takes the time from the request to the row in the page, as the
// browser sees it. Each event is sent once the one before it was shown, which is as long before the
// next look as can be; a machine that is busy may be late with some.
func TestTheLogIsLiveWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.endpoint("Good", "/good", map[string]any{"events": []string{"order.*"}})
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/log")
	b.until("document.querySelector('[data-tail-state]').textContent === 'Live'")
	eval[string](b, `(() => {
		window.shown = {};
		new MutationObserver(() => {
			for (const row of document.querySelectorAll("[data-rows] tr")) {
				window.shown[row.innerText.match(/[0-9a-f-]{36}/)?.[0]] ??= Date.now() - new Date(row.querySelector("time").dateTime);
			}
		}).observe(document.querySelector("#log-table"), {childList: true, subtree: true});
		return "";
	})()`)
	var late []float64
	for range 5 {
		id := w.insert("order.created", "", `{}`)
		b.until(fmt.Sprintf("window.shown[%q] !== undefined", id))
		took := eval[float64](b, fmt.Sprintf("window.shown[%q]", id))
		if late = append(late, took); took < 1000 {
			t.Logf("shown after %.0f ms", late)
			return
		}
	}
	t.Fatalf("shown after %.0f ms", late)
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := loggedIn(t, w, adminKey)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/panel/log/stream", nil)
	require.NoError(t, err)
	res, err := v.client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	lines := bufio.NewReader(res.Body)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(first, "retry:"), first)
	w.exec("DELETE FROM tailpost.session")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := lines.ReadString('\n'); err != nil {
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(kit.Patience):
		t.Fatal("it goes on")
	}
}

// A person who looks at a live log learns that the session is over, and is led back to the log.
func TestALiveLogAsksForALoginOnceItsSessionIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/log?outcome=dead")
	b.sees("Live")
	w.exec("DELETE FROM tailpost.session")
	b.at("/panel/login")
	b.fill("#key", adminKey)
	b.click("form button.primary")
	b.until("location.pathname === '/panel/log' && location.search === '?outcome=dead'")
}

func TestAPageThatRefreshesItselfIsNotUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := loggedIn(t, w, adminKey)
	w.exec("UPDATE tailpost.session SET seen_at = now() - interval '10 minutes'")
	v.header.Set("X-Refresh", "1")
	v.in()
	require.Zero(t, w.count("SELECT count(*) FROM tailpost.session WHERE seen_at > now() - interval '1 minute'"))
	v.header.Del("X-Refresh")
	v.in()
	require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.session WHERE seen_at > now() - interval '1 minute'"))
}

// TestAStreamIsATenantsOwn listens as one tenant while another one's events are delivered.
func TestAStreamIsATenantsOwn(t *testing.T) {
	t.Parallel()
	w := newTenants(t)
	v := loggedIn(t, w.world, w.key["alpha"])
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/panel/log/stream", nil)
	require.NoError(t, err)
	res, err := v.client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	_, err = lines.ReadString('\n') // it has begun
	require.NoError(t, err)
	for _, tenant := range []string{"bravo", "", "alpha"} {
		mark := "mark-of-" + tenant
		if tenant == "" {
			mark = "mark-of-nobody"
		}
		w.insert(mark+".order", tenant, `{}`)
		w.attempts(w.endpoint[tenant], 2)
	}
	seen := ""
	for !strings.Contains(seen, "mark-of-alpha") {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, "%s", seen)
		seen += line
	}
	for _, other := range []string{"bravo", "nobody"} {
		require.NotContains(t, seen, "mark-of-"+other)
	}
}

// TestALiveLogIsInOrderAndWithinItsFilter: rows stand newest first whenever they arrive, and what
// arrives is what the page's filter chooses, its time included.
func TestALiveLogIsInOrderAndWithinItsFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	a := w.endpoint("A", "/a", nil)
	w.insert("order.created", "", `{}`)
	w.attempts(a, 1)
	old, future := newTab(t, w.url, tabOptions{}), newTab(t, w.url, tabOptions{})
	old.login()
	future.login()
	old.open("/panel/log")
	future.open("/panel/log?since=2099-01-01")
	for _, b := range []*tab{old, future} {
		b.until("document.querySelector('[data-tail-state]').textContent === 'Live'")
	}
	add := func(kind, at string) {
		w.exec(`INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, duration_ms, attempted_at, commit_lsn)
			SELECT gen_random_uuid(), $1, $2, 1, 'stream', 'https://example.com/in', 'delivered', 200, 1, `+at+`, '0/10'`, kind, a)
	}
	add("took.long", "(SELECT max(attempted_at) - interval '1 microsecond' FROM tailpost.attempt)")
	add("is.new", "(SELECT max(attempted_at) + interval '1 microsecond' FROM tailpost.attempt)")
	old.until("document.querySelectorAll('[data-rows] tr').length === 3")
	order := "[...document.querySelectorAll('[data-rows] tr')].map((r) => r.innerText.match(/order.created|took.long|is.new/)[0]).join()"
	require.Equal(t, "is.new,order.created,took.long", eval[string](old, order))
	old.open("/panel/log?until=2099-01-01")
	require.True(t, eval[bool](old, "document.querySelector('[data-tail]') === null"), "what is new is not asked for")

	// By now the other one would have them too.
	future.until("performance.getEntriesByType('resource').length > 0")
	require.Contains(t, eval[string](future, "document.querySelector('[data-tail]').dataset.tail"), "since=2099-01-01")
	require.Zero(t, eval[int](future, "document.querySelectorAll('[data-rows] tr').length"))
}
