package panel_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestNoPageIsWiderThanItsScreen, whatever others chose: keys, types, tenants, names, headers,
// payloads and answers, as long as they may be, on a desk and on a telephone.
func TestNoPageIsWiderThanItsScreen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL+"\nattempts { headers = true }\n")
	long := func(n int) string { return strings.Repeat("W", n) }
	deep := strings.Repeat(`{"`+long(40)+`":`, 40) + `"` + long(300) + `"` + strings.Repeat("}", 40)
	w.receiver.On("/a", func(_ context.Context, rw http.ResponseWriter, _ kit.Request) int {
		rw.Header().Set("X-"+long(200), long(900))
		rw.WriteHeader(http.StatusInternalServerError)
		_, _ = rw.Write([]byte(deep))
		return 0
	})
	a := w.endpoint("name"+long(196), "/a", map[string]any{"description": long(500), "tenant": long(100)})
	var event string
	require.NoError(t, w.conn.QueryRow(t.Context(), `
INSERT INTO public.outbox (type, key, tenant, payload, headers)
VALUES ($1, $2, $3, $4, jsonb_build_object($5::text, $6::text)) RETURNING id::text`,
		"order."+long(200), long(900), long(100), deep, "x-"+long(100), long(400)).Scan(&event))
	w.attempts(a, 1)
	kit.Eventually(t, kit.Patience, func() error { return w.parked(event) })
	w.exec("UPDATE tailpost.delivery SET last_error = $1", long(900))
	w.key("key"+long(190), long(100))
	w.call(http.MethodPut, "/v1/event-types/"+long(190), map[string]any{"description": long(500), "example": map[string]any{long(300): 1}})
	made, _ := w.call(http.MethodPost, "/v1/deliveries/resend", map[string]any{"event_types": []string{"order." + long(200)}, "tenant": long(100)})["id"].(string)
	replay, _ := w.call(http.MethodPost, "/v1/replays", map[string]any{"endpoint_id": a})["id"].(string)
	attempt := (&shop{world: w}).attempt(event, a)
	for _, screen := range []tabOptions{{width: 1280, height: 900}, {width: 390, height: 844}} {
		b := newTab(t, w.url, screen)
		b.login()
		for _, path := range []string{
			"/panel/", "/panel/endpoints", "/panel/endpoints/" + a, "/panel/endpoints/" + a + "/log", "/panel/endpoints/" + a + "/edit", "/panel/endpoints/" + a + "/test",
			"/panel/endpoints/" + a + "/confirm/delete", "/panel/log", attempt, "/panel/events", "/panel/events/" + event, "/panel/undelivered", "/panel/undelivered?state=pending",
			"/panel/undelivered/confirm?act=discard&which=all&state=dead&type=order." + long(200), "/panel/replays", "/panel/replays/" + replay, "/panel/replays/new?endpoint=" + a,
			"/panel/resends", "/panel/resends/" + made, "/panel/catalogue", "/panel/catalogue/types/" + long(190), "/panel/keys", "/panel/audit", "/panel/portal-links",
			"/panel/relay", "/panel/log?type=" + long(300), "/panel/nothing" + long(300),
		} {
			b.open(path)
			wide := eval[int64](b, "document.documentElement.scrollWidth")
			if wide > screen.width {
				t.Errorf("%s is %d px wide on a screen of %d: %s", path[:min(len(path), 60)], wide, screen.width, eval[string](b, `(() => {
					const wide = [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1);
					return wide.slice(-3).map((e) => e.tagName + "." + e.className + " " + e.textContent.slice(0, 30)).join(" | ");
				})()`))
			}
			// A list is a list: no row of it is a page by itself.
			tall := eval[int](b, `Math.max(0, ...[...document.querySelectorAll("tbody[data-rows] > tr")].map((r) => r.offsetHeight))`)
			if tall > 800 {
				t.Errorf("a row of %s is %d px high on a screen of %d", path[:min(len(path), 60)], tall, screen.width)
			}
		}
		b.open("/panel/log")
		require.Equal(t, eval[int](b, "document.querySelector('.tabs').clientHeight"), eval[int](b, "document.querySelector('.tabs').scrollHeight"), "the tabs have nothing to scroll")
	}
}

// TestTextThatTurnsAroundIsNamed where a receiver, an event or an endpoint of before has it, and is
// refused as a name. What is copied is what was there.
func TestTextThatTurnsAroundIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	const turned = "safe\u202egnp.exe"
	w.receiver.On("/a", kit.Respond(http.StatusInternalServerError, "answer "+turned))
	a := w.endpoint("A", "/a", nil)
	w.exec("UPDATE tailpost.endpoint SET name = $1", turned)
	var event string
	require.NoError(t, w.conn.QueryRow(t.Context(), `
INSERT INTO public.outbox (type, key, payload) VALUES ('order.created', $1, $2) RETURNING id::text`, turned, `{"a": "`+turned+`"}`).Scan(&event))
	w.attempts(a, 1)
	kit.Eventually(t, kit.Patience, func() error { return w.parked(event) })
	attempt := (&shop{world: w}).attempt(event, a)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	for _, path := range []string{"/panel/endpoints", "/panel/endpoints/" + a, "/panel/log", attempt, "/panel/events", "/panel/events/" + event, "/panel/undelivered"} {
		b.open(path)
		b.until(`[...document.querySelectorAll("main .unseen")].some((e) => e.dataset.name === "U+202E" && getComputedStyle(e, "::before").content === '"U+202E"')`)
		require.True(t, eval[bool](b, `(() => {
			const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
			while (texts.nextNode()) {
				const by = texts.currentNode.parentElement;
				if (texts.currentNode.data.includes("\u202e") && (!by.matches(".unseen") || getComputedStyle(by).unicodeBidi !== "isolate")) return false;
			}
			return !document.title.includes("\u202e");
		})()`), path)
	}
	b.open(attempt)
	copied := eval[string](b, "document.querySelector('#payload-raw').textContent")
	require.Len(t, copied, len(`{"a": ""}`+turned))
	require.Contains(t, copied, turned)
}
