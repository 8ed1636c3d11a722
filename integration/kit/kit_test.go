package kit_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trial is a test within a test: it notes what the kit has to say of it.
type trial struct {
	*testing.T

	cleanups []func()
	errors   []string
}

// stopped ends a trial whose test failed for good.
type stopped struct{}

func (t *trial) Cleanup(f func())    { t.cleanups = append(t.cleanups, f) }
func (t *trial) Failed() bool        { return len(t.errors) > 0 }
func (t *trial) Logf(string, ...any) {}
func (t *trial) Errorf(format string, a ...any) {
	t.errors = append(t.errors, fmt.Sprintf(format, a...))
}

func (t *trial) Fatalf(format string, a ...any) {
	t.Errorf(format, a...)
	panic(stopped{})
}

// try runs f as a test and returns what the kit found wrong with it.
func try(t *testing.T, f func(kit.TB)) []string {
	t.Helper()
	inner := &trial{T: t}
	func() {
		defer func() {
			if p := recover(); p != nil {
				require.Equal(t, stopped{}, p)
			}
		}()
		f(inner)
	}()
	for _, cleanup := range slices.Backward(inner.cleanups) {
		cleanup()
	}
	return inner.errors
}

func shell(script string, secrets ...string) kit.Command {
	return kit.Command{Path: "/bin/sh", Args: []string{"-c", script}, Secrets: secrets}
}

func TestAProcessThatPrintsWhatItMustNotFailsTheTest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		fails  bool
	}{
		"secret on stdout":     {"echo 'so s3cr3t it is'", true},
		"secret on stderr":     {"printf s3cr3t >&2", true},
		"data race":            {"echo 'WARNING: DATA RACE' >&2", true},
		"panic":                {"printf 'log\\npanic: oh no\\n' >&2; exit 2", true},
		"nothing of that kind": {"echo fine; echo '{}' >&2", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			errors := try(t, func(tb kit.TB) {
				p := kit.Start(tb, shell(c.script, "", "s3cr3t"))
				p.Wait(tb, kit.Patience)
			})
			require.Equal(t, c.fails, len(errors) > 0, "%q", errors)
			require.NotContains(t, strings.Join(errors, ""), "s3cr3t")
		})
	}
}

func TestWaitingForALogRecordEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	const script = `echo '{"message":"first","n":1}' >&2; echo 'no JSON' >&2; echo '{"message":"first","n":2}' >&2`
	errors := try(t, func(tb kit.TB) {
		p := kit.Start(tb, shell(script))
		require.InDelta(t, 1, p.Await(tb, "first", nil)["n"], 0)
		require.InDelta(t, 2, p.Await(tb, "first", kit.Record{"n": 2})["n"], 0)
		require.InDelta(t, 2, p.AwaitNth(tb, 2, "first", nil)["n"], 0)
		p.Await(tb, "second", nil)
	})
	require.Len(t, errors, 1)
	require.Contains(t, errors[0], "second")
}

func TestProgressIsWaitedForAsLongAsThereIsSome(t *testing.T) {
	t.Parallel()
	for most, want := range map[int][]string{5: nil, 2: {"no progress within 1m0s: 2 of 4"}} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			require.Equal(t, want, try(t, func(tb kit.TB) {
				kit.Progress(tb, func() (int, error) {
					n := min(most, int(time.Since(began)/(kit.Patience-time.Second)))
					if n < 4 {
						return n, fmt.Errorf("%d of 4", n)
					}
					return n, nil
				})
			}))
			require.Greater(t, time.Since(began), 2*kit.Patience)
		})
	}
}

func TestEventuallyFailsAtItsDeadlineWithTheLastError(t *testing.T) {
	t.Parallel()
	tries := 0
	errors := try(t, func(tb kit.TB) {
		kit.Eventually(tb, 100*time.Millisecond, func() error {
			tries++
			return fmt.Errorf("try %d", tries)
		})
	})
	require.Len(t, errors, 1)
	require.Contains(t, errors[0], fmt.Sprintf("try %d", tries))
	require.Greater(t, tries, 1)
	require.Empty(t, try(t, func(tb kit.TB) { kit.Eventually(tb, time.Second, func() error { return nil }) }))
}

func TestAReceiverBehavesAsItIsTold(t *testing.T) {
	t.Parallel()
	errors := try(t, func(tb kit.TB) {
		r := kit.NewReceiver(tb)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 100 * time.Millisecond}
		post := func(path, id string) int {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL(path), strings.NewReader("body"))
			require.NoError(t, err)
			request.Header.Set("webhook-id", id)
			response, err := client.Do(request)
			if err != nil {
				return 0
			}
			require.NoError(t, response.Body.Close())
			return response.StatusCode
		}
		r.On("/s", kit.Statuses(500, 204))
		require.Equal(t, []int{500, 204, 204, 500}, []int{post("/s", "a"), post("/s", "a"), post("/s", "a"), post("/s", "b")})
		r.On("/hang", kit.Hang())
		r.On("/reset", kit.Reset())
		r.On("/answer", kit.Respond(418, "tea"))
		require.Equal(t, []int{0, 0, 418, 200}, []int{post("/hang", "a"), post("/reset", "a"), post("/answer", "a"), post("/other", "a")})
		require.Equal(t, []string{"a", "a", "a", "b"}, r.IDs("/s"))
		kit.Eventually(tb, kit.Patience, func() error {
			if n := r.Connections(); n > 0 {
				return fmt.Errorf("%d connections are open", n)
			}
			return nil
		})
	})
	require.Empty(t, errors)
}
