package panel_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestTheLifeOfAnEndpoint makes, tests, pauses, resumes, changes, rotates and deletes an endpoint
// with clicks alone.
func TestTheLifeOfAnEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.sees("there is no endpoint") // what to do next
	b.click("main a.primary")
	b.at("/panel/endpoints/new")

	// The filter is judged while it is typed, by the compiler that will use it.
	b.fill("#where", "event.data.total >")
	b.until("document.querySelector('[data-verdict=where]').className === 'wrong'")
	b.fill("#where", "event.data.total > 100")
	b.sees("It compiles.")

	b.fill("#name", "ERP")
	b.fill("#url", "ftp://example.com/nowhere")
	b.fill("#events", "order.*")
	b.click("main form button.primary")
	b.until("document.querySelector('[role=alert]') && document.querySelector('#url-wrong')")
	require.Equal(t, "event.data.total > 100", eval[string](b, "document.querySelector('#where').value"), "what was typed stays")
	b.fill("#url", w.receiver.URL("/erp"))
	b.click("main form button.primary")

	// The secret is shown, and never again.
	b.sees("This secret is shown once")
	secret := eval[string](b, "document.querySelector('#secret-text').textContent")
	require.True(t, strings.HasPrefix(secret, "whsec_"), secret)
	b.until("location.pathname.startsWith('/panel/endpoints/ep_')") // loading the page again leads to the endpoint
	at := eval[string](b, "location.pathname")
	b.run(chromedp.Reload())
	b.at(at)
	b.sees("Settings")
	require.NotContains(t, b.html(), secret)
	require.Contains(t, b.text(), secret[:12], "its beginning tells secrets apart")

	// A test event, with an answer.
	b.open(at)
	b.click("nav.tabs a[href$='/test']")
	b.at(at + "/test")
	b.fill("#type", "order.created")
	b.fill("#data", `{"total": 1.50}`)
	b.click("main form button.primary")
	b.sees("The answer")
	require.Contains(t, string(w.receiver.Await(t, "/erp", 1)[0].Body), `"data":{"total":1.50}}`)

	press := func(act string) {
		b.open(at)
		b.click("a[href$='/confirm/" + act + "']")
		b.at(at + "/confirm/" + act)
		if act == "delete" {
			b.fill("#name", "ERP")
		}
		b.click("main form button")
	}
	press("pause")
	b.sees("The endpoint is paused.")
	id := w.insert("order.created", "", `{"total": 500}`)
	kit.Eventually(t, kit.Patience, func() error {
		var n int
		return w.conn.QueryRow(t.Context(), "SELECT 1 FROM tailpost.delivery WHERE event_id = $1 AND reason = 'paused'", id).Scan(&n)
	})
	press("resume")
	b.sees("The endpoint is resumed.")
	w.receiver.AwaitIDs(t, "/erp", id)

	b.click("a[href$='/edit']")
	b.at(at + "/edit")
	b.fill("#description", "Orders, for the ERP")
	b.click("main form button.primary")
	b.sees("The changes are saved.")
	b.sees("Orders, for the ERP")
	b.sees("event.data.total > 100") // what was not changed stays

	press("rotate-secret")
	b.sees("This secret is shown once")
	rotated := eval[string](b, "document.querySelector('#secret-text').textContent")
	require.NotEqual(t, secret, rotated)

	press("delete")
	b.at("/panel/endpoints")
	b.sees("The endpoint is deleted.")
	require.Empty(t, w.call(http.MethodGet, "/v1/endpoints", nil)["data"])
}

// TestFiltersAreInTheLinkAndTheBackButtonBringsThemBack also resends what was given up.
func TestFiltersAreInTheLinkAndTheBackButtonBringsThemBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/a", kit.Statuses(http.StatusInternalServerError, http.StatusOK))
	a := w.endpoint("A", "/a", nil)
	w.endpoint("B", "/b", nil)
	id := w.insert("order.created", "", `{}`)
	w.receiver.AwaitIDs(t, "/a", id)
	w.receiver.AwaitIDs(t, "/b", id)
	w.attempts(a, 1)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/log")
	b.run(chromedp.SetValue(chromedp.CSS("select[name=outcome]"), "dead"))
	b.click("main form.filters button")
	b.until("location.search === '?outcome=dead'")
	b.until("document.querySelectorAll('[data-rows] tr').length === 1")
	b.click("[data-rows] a.main-link")
	b.at("/panel/attempt")
	b.sees("500")
	b.back()
	b.until("location.search === '?outcome=dead' && document.querySelector('select[name=outcome]').value === 'dead'")

	b.open("/panel/undelivered")
	b.click("[data-rows] input[type=checkbox]")
	b.click("button[value=resend]")
	b.sees("Resend 1 delivery?")
	b.click("main form button.primary")
	b.sees("The delivery is queued.")
	w.attempts(a, 2)
	b.open("/panel/undelivered")
	b.sees("Nothing waits for a person")
}

// TestThousandsAreResentByClicks: they are counted first, and then all that the filter chooses go,
// in several pages of the resend; in make pages there are 10,000.
func TestThousandsAreResentByClicks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	id := w.endpoint("A", "/a", nil)
	events, many := 2_500, "2,500"
	if os.Getenv("TAILPOST_PAGES") != "" {
		events, many = 10_000, "10,000"
	}
	w.exec(`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, payload, event_created_at, commit_lsn, seq, last_status, last_error, created_at, updated_at)
SELECT gen_random_uuid()::text, $1, 'dead', 'exhausted', 10, 'order.created', '{}', now(), '0/10', i, 500, 'status 500', now(), now()
FROM generate_series(1, $2) AS i`, id, events)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/undelivered?endpoint=" + id)
	b.sees("all " + many + " matching")
	b.click("input[name=which][value=all]")
	b.click("button[value=resend]")
	b.sees("Resend " + many + " deliveries?")
	require.Equal(t, events, w.count("SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"), "they were only counted")
	b.click("main form button.primary")
	b.until("location.pathname.startsWith('/panel/resends/rs_')")
	kit.Eventually(t, 5*time.Minute, func() error {
		if n := w.count("SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'"); n < events {
			return fmt.Errorf("%d are delivered", n)
		}
		if w.count("SELECT count(*) FROM tailpost.resend WHERE state = 'done'") == 0 {
			return errors.New("the resend is not done")
		}
		return nil
	})
	b.run(chromedp.Reload())
	b.sees(many + " of " + many + " queued")
	require.Zero(t, w.count("SELECT count(*) FROM tailpost.delivery"))
	b.open("/panel/undelivered")
	b.sees("Nothing waits for a person")
}

// TestASubscriptionIsTriedBeforeItIsSaved tries one on events that are there.
func TestASubscriptionIsTriedBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	id := w.endpoint("A", "/a", map[string]any{"events": []string{"order.*"}, "where": "event.data.total > 100"})
	large, small := w.insert("order.created", "", `{"total": 500}`), w.insert("order.paid", "", `{"total": 5.50}`)
	w.attempts(id, 1)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/endpoints/new")
	b.fill("#where", "event.data.total > 100")
	b.fill("#body", "{ sum = event.data.total }")
	b.click("button[value=try]")
	b.sees("1 would match")
	require.Contains(t, b.text(), large)
	require.NotContains(t, b.text(), small)
	require.Contains(t, b.text(), `"sum": 500`)

	b.open("/panel/endpoints/" + id + "/edit")
	b.fill("#where", "event.data.total < 100")
	b.click("button[value=try]")
	b.sees("Newly matched: 1")
	require.Contains(t, b.text(), "No longer matched: 1")
	require.Contains(t, b.text(), small)
	require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.endpoint WHERE version = 1"), "nothing was stored")

	// The Enter key saves; it does not try.
	b.fill("#name", "B"+kb.Enter)
	b.sees("The changes are saved.")
	require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.endpoint WHERE name = 'B'"))
}
