package panel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// ChromiumVariable names the environment variable with the path of the browser; .ci/chromium.sh
// finds or installs one.
const ChromiumVariable = "CHROMIUM"

// patience is how long a page may take on a busy machine; a test that passes does not wait for it.
const patience = 60 * time.Second

// chromium is the browser that the tests share; each of their tabs has cookies of its own.
var chromium = sync.OnceValues(startChromium)

// stopChromium ends the browser, if it was started.
var stopChromium = func() {}

func findChromium() (string, error) {
	if path := os.Getenv(ChromiumVariable); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium here: run .ci/chromium.sh, or set " + ChromiumVariable)
}

func startChromium() (context.Context, error) {
	path, err := findChromium()
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("disable-renderer-backgrounding", true), chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Env("TZ=Europe/Vienna"), chromedp.WSURLReadTimeout(patience),
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	browser, stop := chromedp.NewContext(allocator)
	if err := chromedp.Do(browser); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	stopChromium = func() { stop(); cancel() }
	return browser, nil
}

// tab is a page of the browser, as one person sees it.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string
}

// tabOptions say how the person looks.
type tabOptions struct {
	width, height int64 // 0: 1280 by 900
	scale         float64
	dark          bool
	noScript      bool
	mayFail       bool // problems of the console are the test's own matter
}

// newTab opens a tab with cookies of its own. Whatever the console of the browser complains of
// fails the test.
func newTab(t *testing.T, base string, o tabOptions) *tab {
	t.Helper()
	browser, err := chromium()
	if err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err)
		}
		t.Skip(err)
	}
	b := &tab{t: t, base: base}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	b.ctx = ctx
	require.NoError(t, chromedp.Do(ctx)) // the tab lives as long as the context of this call
	if o.width == 0 {
		o.width, o.height = 1280, 900
	}
	if o.scale == 0 {
		o.scale = 1
	}
	scheme := "light"
	if o.dark {
		scheme = "dark"
	}
	b.run(
		command(log.Enable, cdp.Empty{}),
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: o.width, Height: o.height, DeviceScaleFactor: o.scale, Mobile: o.width < 600,
		}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.noScript}),
	)
	t.Cleanup(func() {
		if !o.mayFail {
			require.Empty(t, b.complaints(), "the browser's console")
		}
	})
	return b
}

// command is a command of the browser's protocol.
func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (b *tab) listen(event any) {
	note := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *log.EventEntryAdded:
		// What was refused on purpose shows as a resource that failed to load.
		if e.Entry.Source != log.EntrySourceNetwork && (e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity) {
			note("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		note("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, arg := range e.Args {
				note("console: %s %s", arg.Value, arg.Description)
			}
		}
	}
}

func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.problems...)
}

// run carries actions out, each within the patience.
func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.lost(err)
	}
}

// lost fails the test and says where the page was.
func (b *tab) lost(err error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	where, _ := chromedp.Run(ctx, chromedp.Location())
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	b.t.Fatalf("%v\nat %s:\n%s", err, where, text)
}

// open loads a page of the panel.
func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.base + path))
}

// click clicks on the first visible element, which may lead to another page: wait for what that
// has.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// fill writes into a field, in place of what it holds.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.run(chromedp.WaitVisible(chromedp.CSS(selector)))
	eval[string](b, fmt.Sprintf("document.querySelector(%q).value = ''", selector))
	b.run(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// sees waits until the page has an element with this text.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body && document.body.innerText.includes(%q)", text))
}

// until waits until an expression of JavaScript is true, on whatever page it is then.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		// Between two pages there is nothing to ask.
		if is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")")); err == nil && is {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.lost(fmt.Errorf("not within %s: %s", patience, expression))
		}
	}
}

// at waits until the page is this one; its query may be any.
func (b *tab) at(path string) {
	b.t.Helper()
	b.until(fmt.Sprintf("location.pathname === %q && document.readyState === 'complete'", path))
}

// back presses the button of the browser and waits until the page has gone, which may look like the
// one before it.
func (b *tab) back() {
	b.t.Helper()
	eval[string](b, "window.leaving = true, setTimeout(() => history.back()), ''")
	b.until("!window.leaving")
}

// text is what a person reads on the page.
func (b *tab) text() string {
	b.t.Helper()
	return eval[string](b, "document.body.innerText")
}

// html is the page's source as the browser has it.
func (b *tab) html() string {
	b.t.Helper()
	return eval[string](b, "document.documentElement.outerHTML")
}

// eval is the value of an expression.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

// get is the value of an action.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.lost(err)
	}
	return value
}

// keys types on the page, not into a field.
func (b *tab) keys(text string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(text))
}

// login logs in as the administrator.
func (b *tab) login() {
	b.t.Helper()
	b.open("/panel/login")
	b.fill("#key", adminKey)
	b.click("form button.primary")
	b.until("!location.pathname.endsWith('/login')")
}
