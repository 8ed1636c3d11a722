package panel_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestWithoutAMouse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	a := w.endpoint("A", "/a", nil)
	w.endpoint("B", "/b", nil)
	event := w.insert("order.created", "", `{}`)
	w.attempts(a, 1)
	b := newTab(t, w.url, tabOptions{})
	b.open("/panel/")
	b.at("/panel/login")
	b.keys(adminKey + kb.Enter) // the field has the focus
	b.at("/panel/")
	b.keys("ge")
	b.at("/panel/endpoints")
	b.keys("j")
	b.until("document.querySelectorAll('[data-rows] tr.cur').length === 1 && document.activeElement.textContent === 'B'")
	b.keys("j")
	b.until("document.activeElement.textContent === 'A'")
	b.keys("k")
	b.until("document.activeElement.textContent === 'B'")
	b.keys("j" + kb.Enter)
	b.at("/panel/endpoints/" + a)
	b.keys("?")
	b.until("document.querySelector('#help').open")
	b.keys(kb.Escape)
	b.until("!document.querySelector('#help').open")
	b.keys("/")
	b.until("document.activeElement.id === 'find'")
	eval[string](b, "document.activeElement.value = ''") // a real keyboard leaves no slash there
	b.keys(event + kb.Enter)
	b.at("/panel/events/" + event)
	// What is focused can be seen.
	b.keys(kb.Tab)
	require.NotEqual(t, "none", eval[string](b, "getComputedStyle(document.activeElement).outlineStyle"))
}

// TestReadingNeedsNoScript also acts without one.
func TestReadingNeedsNoScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/a", kit.Statuses(http.StatusInternalServerError))
	a := w.endpoint("A", "/a", nil)
	event := w.insert("order.created", "", `{"total": 99.50}`)
	w.attempts(a, 1)
	s := &shop{world: w}
	b := newTab(t, w.url, tabOptions{noScript: true})
	b.login()
	for path, want := range map[string]string{
		"/panel/": "Endpoints in trouble", "/panel/log": "order.created", s.attempt(event, a): "99.50", "/panel/events/" + event: "Waits for a person",
		"/panel/undelivered": "exhausted", "/panel/relay": "Settled",
	} {
		b.open(path)
		require.Contains(t, b.text(), want, path)
	}
	b.open("/panel/log")
	require.Contains(t, b.text(), "UTC", "times say what they are")
	b.open("/panel/endpoints/" + a)
	b.click("a[href$='/confirm/pause']")
	b.at("/panel/endpoints/" + a + "/confirm/pause")
	b.click("main form button")
	b.sees("The endpoint is paused.")
}

func TestTimesAreLocalAndExactOnHover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	a := w.endpoint("A", "/a", nil)
	w.insert("order.created", "", `{}`)
	w.attempts(a, 1)
	var at time.Time
	require.NoError(t, w.conn.QueryRow(t.Context(), "SELECT attempted_at FROM tailpost.attempt").Scan(&at))
	at = at.UTC()
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/log")
	b.until("document.querySelector('[data-rows] time')")
	require.Contains(t, eval[string](b, "document.querySelector('[data-rows] time').title"), at.Truncate(time.Millisecond).Format("15:04:05.000 UTC"))
	hour := eval[int](b, "new Date(document.querySelector('[data-rows] time').dateTime).getHours()")
	require.NotEqual(t, at.Hour(), hour, "the browser is in Vienna")
	require.Contains(t, eval[string](b, "document.querySelector('[data-rows] time').textContent"), fmt.Sprintf("%02d:%s", hour, at.Format("04:05")))

	// So are those of a sentence, and of a chart.
	var event string
	require.NoError(t, w.conn.QueryRow(t.Context(), "SELECT event_id FROM tailpost.attempt").Scan(&event))
	b.open("/panel/events/" + event)
	b.until("document.querySelector('#why-title')")
	because := "document.querySelector('#why-title').closest('section').querySelector('td:last-child')"
	require.Regexp(t, fmt.Sprintf(`^Delivered at .* %02d:%s by attempt 1, with status 200\.`, hour, at.Format("04:05")), eval[string](b, because+".textContent"))
	require.Contains(t, eval[string](b, because+".querySelector('time').title"), at.Format("15:04:05.000 UTC")[:8])
	b.open("/panel/")
	b.until("document.querySelector('.chart [data-at]') && !document.querySelector('.chart .utc')")
	require.True(t, eval[bool](b, `[...document.querySelectorAll('.chart [data-at]')].every((label) => {
		const at = new Date(label.dataset.at);
		return label.textContent === String(at.getHours()).padStart(2, '0') + ':00' || at.getHours() === 0;
	})`))
	require.Contains(t, eval[string](b, "[...document.querySelectorAll('.chart title')].at(-1).textContent"), at.Format("2 Jan 15:00")+" UTC: 1 delivered, 0 failed")
}

func TestLightAndDark(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	background := func(b *tab) string { return eval[string](b, "getComputedStyle(document.body).backgroundColor") }
	light, dark := newTab(t, w.url, tabOptions{}), newTab(t, w.url, tabOptions{dark: true})
	light.login()
	dark.login()
	require.NotEqual(t, background(light), background(dark), "as the browser prefers")
	was := background(light)
	light.click(".side > .who form[data-theme-form] button")
	light.until("document.documentElement.dataset.theme === 'dark'")
	require.Equal(t, background(dark), background(light))
	light.open("/panel/endpoints")
	require.Equal(t, background(dark), background(light), "it is kept")
	light.click(".side > .who form[data-theme-form] button")
	light.until("document.documentElement.dataset.theme === 'light'")
	require.Equal(t, was, background(light))
}

func TestASmallScreenHasAMenu(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	b := newTab(t, w.url, tabOptions{width: 360, height: 740})
	b.login()
	b.click(".menu > summary")
	b.click(".menu a[href='/panel/log']")
	b.at("/panel/log")
	b.sees("Nothing was sent yet")
}

func TestACopyButtonCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/log")
	eval[string](b, "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}}), ''")
	b.click(".drop > summary")
	b.click("[data-copy=copy-sql]")
	b.until("window.copied && window.copied.startsWith('SELECT attempted_at')")
	b.until("document.querySelector('#status').textContent === 'Copied.'")
	b.keys(kb.Escape)
	b.until("!document.querySelector('.drop').open")
}

func TestAViewCanBeSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/log?outcome=dead&since=2h")
	eval[string](b, "window.prompt = () => 'Dead <b>lately</b>', ''")
	b.click("[data-views] button")
	b.until("[...document.querySelectorAll('[data-views] a[aria-current]')].some((a) => a.textContent === 'Dead <b>lately</b>')")
	b.open("/panel/log")
	b.run(chromedp.Click(chromedp.CSS("[data-views] a[data-own]")))
	b.until("location.search === '?outcome=dead&since=2h'")
	b.click("[data-views] button")
	b.until("!document.querySelector('[data-views] a[data-own]')")
}

// A part of a page that changes by itself leaves a person where they are: what is open stays open,
// and the keys go on from the same row.
func TestWhatRefreshesItselfDisturbsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/a", kit.Respond(http.StatusInternalServerError, ""))
	a, c := w.endpoint("A", "/a", nil), w.endpoint("C", "/a", nil)
	w.insert("order.created", "", `{}`)
	w.attempts(a, 1)
	w.attempts(c, 1)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/")
	b.until("document.querySelectorAll('#trouble [data-rows] tr').length === 2")
	// It is looked often, and what is drawn anew has no mark.
	eval[string](b, `(() => {
		window.looks = 0;
		const real = window.setTimeout;
		window.setTimeout = (f, after) => { if (after === 20) looks++; return real(f, after); };
		document.querySelector('#tiles').dataset.refresh = 20;
		document.querySelector('#tiles').firstElementChild.marked = true;
		return '';
	})()`)
	b.keys("jj")
	focused := eval[string](b, "document.activeElement.getAttribute('href')")
	require.Contains(t, focused, "/panel/endpoints/ep_")
	b.until("!document.querySelector('#tiles').firstElementChild.marked")
	require.Equal(t, focused, eval[string](b, "document.activeElement.getAttribute('href')"))
	require.True(t, eval[bool](b, "document.querySelectorAll('#trouble [data-rows] tr')[1].classList.contains('cur')"))

	eval[string](b, "document.querySelector('#trouble summary').click(), ''")
	eval[string](b, "document.querySelector('#tiles').firstElementChild.marked = true, looks = 0, ''")
	b.until("looks > 3")
	require.True(t, eval[bool](b, "document.querySelector('#tiles').firstElementChild.marked && document.querySelector('#trouble details').open"))
	b.keys(kb.Escape)
	b.until("!document.querySelector('#tiles').firstElementChild.marked")
}

// TestAChangeOfTheFormWithdrawsTheCount, and what is too large is said before it is sent, where it
// is still there.
func TestAChangeOfTheFormWithdrawsTheCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	a := w.endpoint("A", "/a", nil)
	w.insert("order.created", "", `{}`)
	w.attempts(a, 1)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/replays/new?endpoint=" + a)
	b.click("button[value=count]")
	b.until("document.querySelector('[data-count] strong') && document.querySelector('button[value=begin]')")
	require.GreaterOrEqual(t, eval[int](b, `(() => {
		const [count, begin] = ["count", "begin"].map((act) => document.querySelector("button[value=" + act + "]").getBoundingClientRect());
		return Math.round(Math.max(begin.left - count.right, begin.top - count.bottom));
	})()`), 6, "the buttons are apart")
	b.fill("#types", "order.*")
	b.until("!document.querySelector('[data-count]') && !document.querySelector('button[value=begin]')")
	b.click("button[value=count]")
	b.click("button[value=begin]")
	b.sees("The replay has begun.")

	b.open("/panel/endpoints/" + a + "/test")
	b.until("document.querySelector('#data')")
	eval[string](b, "document.querySelector('#data').value = '{\"a\": \"' + 'x'.repeat(600000) + '\"}', ''")
	b.click("form[method=post]:not([data-theme-form]) button.primary")
	b.sees("KiB, and may be 512 KiB. Nothing was sent: make it shorter.")
	require.Greater(t, eval[int](b, "document.querySelector('#data').value.length"), 600_000)
}
