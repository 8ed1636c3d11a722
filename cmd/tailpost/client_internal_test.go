package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// askAPI runs a command against an API that answers so.
func askAPI(t *testing.T, handler http.HandlerFunc, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var errors bytes.Buffer
	code, stdout = askAPIUntil(t.Context(), t, handler, &errors, args...)
	return code, stdout, errors.String()
}

// askAPIUntil is askAPI of a command that is interrupted once ctx is done.
func askAPIUntil(ctx context.Context, t *testing.T, handler http.HandlerFunc, stderr io.Writer, args ...string) (code int, stdout string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	env := map[string]string{apiVariable: server.URL, keyVariable: "a-key"}
	var out bytes.Buffer
	code = run(ctx, append([]string{"tailpost"}, args...), func(name string) string { return env[name] }, nil, &out, stderr)
	return code, out.String()
}

func TestStatusOfASlotThatNobodyStreamsFromIsAFailure(t *testing.T) {
	t.Parallel()
	for active, want := range map[bool]int{true: exitOK, false: exitFailed} {
		code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"slot": "tailpost", "slot_state": {"exists": true, "active": %v}}`, active)
		}, "status")
		require.Equal(t, want, code, stderr)
		require.Contains(t, stdout, "slot         tailpost: ")
		require.Equal(t, !active, strings.Contains(stdout, "nobody streams from it"))
	}
}

func TestListsGoOnUntilTheirLimit(t *testing.T) {
	t.Parallel()
	// Four pages; one of them is short and one is empty, as the API's may be.
	pages := map[string]string{"": "1 2", "a": "3", "b": "", "c": "4 5"}
	next := map[string]string{"": "a", "a": "b", "b": "c", "c": ""}
	handler := func(w http.ResponseWriter, r *http.Request) {
		cursor, limit := r.URL.Query().Get("cursor"), r.URL.Query().Get("limit")
		if n, err := strconv.Atoi(limit); err != nil || n < 1 || n > 250 {
			t.Errorf("limit=%s, which the API refuses", limit)
		}
		var data []string
		for id := range strings.FieldsSeq(pages[cursor]) {
			data = append(data, `{"event_id": "`+id+`"}`)
		}
		_, _ = fmt.Fprintf(w, `{"data": [%s], "next_cursor": %q}`, strings.Join(data, ","), next[cursor])
	}
	for limit, want := range map[int]int{1: 1, 3: 3, 4: 4, 100: 5} {
		code, stdout, stderr := askAPI(t, handler, "attempts", "--json", "--limit", strconv.Itoa(limit))
		require.Equal(t, exitOK, code, stderr)
		require.Len(t, strings.Split(strings.TrimSpace(stdout), "\n"), want, "limit %d", limit)
	}
}

// What the API lists by, the command that lists it has a flag for: all of them together ask for
// every parameter that the document has.
func TestListsHaveTheFiltersOfTheAPI(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "relay", "internal", "api", "openapi.json"))
	require.NoError(t, err)
	var document struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name string `json:"name"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(raw, &document))
	for command, path := range map[string]string{
		"attempts": "/v1/attempts", "deliveries": "/v1/deliveries", "endpoints": "/v1/endpoints", "events": "/v1/events",
		"replay list": "/v1/replays", "resend list": "/v1/resends",
	} {
		// Pages are turned by themselves; attempts are followed elsewhere; counters are shown; an
		// event is named without a flag.
		asked := map[string]bool{"cursor": true, "follow": true, "stats": true, "id": true}
		args := append(strings.Fields(command), "--search=a=1", "--search=b=2")
		cmd, _, err := newRootCommand(&app{}).Find(strings.Fields(command))
		require.NoError(t, err)
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			switch {
			case flag.Name == "search", flag.Name == "json", flag.Name == "api", flag.Name == "follow", flag.Name == "limit":
			case flag.Value.Type() == "bool":
				args = append(args, "--"+flag.Name)
			case flag.Value.Type() == "time":
				args = append(args, "--"+flag.Name+"=1h")
			default:
				args = append(args, "--"+flag.Name+"=x")
			}
		})
		if cmd.Flags().Lookup("search") == nil {
			args = slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--search") })
		}
		code, _, stderr := askAPI(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/endpoints/x" {
				return // that of a list without entries is looked for
			}
			query := r.URL.Query()
			for name := range query {
				asked[name] = true
			}
			if searched := query["search"]; len(searched) > 0 {
				assert.Equal(t, []string{"a=1", "b=2"}, searched, command)
			}
			assert.Equal(t, path, r.URL.Path)
			_, _ = fmt.Fprint(w, `{"data": []}`)
		}, args...)
		require.Equal(t, exitOK, code, "%v: %s", args, stderr)
		for _, parameter := range document.Paths[path]["get"].Parameters {
			require.True(t, asked[parameter.Name], "tailpost %s has no flag for %s", command, parameter.Name)
		}
	}
}

func TestAKeyGoesToNoOtherAddress(t *testing.T) {
	t.Parallel()
	elsewhere := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere <- r.URL.Path }))
	t.Cleanup(other.Close)
	code, _, stderr := askAPI(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/stolen", http.StatusTemporaryRedirect)
	}, "status")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, " answers 307 Temporary Redirect, and not as a relay's API does\nTry: --api with the URL itself")
	require.Empty(t, elsewhere)
}

// What the API says is data of tenants: it must not steer the terminal.
func TestTablesShowNoControlCharacters(t *testing.T) {
	t.Parallel()
	code, stdout, _ := askAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"data": [{"event_id": "a\u001b[31mb\tc", "endpoint_id": "erp"}]}`)
	}, "attempts")
	require.Equal(t, exitOK, code)
	require.NotContains(t, stdout, "\x1b")
	require.Contains(t, stdout, `a\x1b[31mb\tc`)
}

// TestAnAnswerThatNoRelayGaveIsNotTakenForOne: a proxy's page, or that of another program.
func TestAnAnswerThatNoRelayGaveIsNotTakenForOne(t *testing.T) {
	t.Parallel()
	const (
		gone    = "Try: that a relay runs behind the proxy at --api\n"
		another = "Try: --api with the URL of a relay's API, and with the path that a proxy has it under\n"
		moved   = "Try: --api with the URL itself: a redirect is not followed, because the key goes along\n"
	)
	for status, try := range map[int]string{
		http.StatusMultipleChoices: moved, http.StatusPermanentRedirect: moved,
		http.StatusBadRequest: another, http.StatusNotFound: another, http.StatusInternalServerError: another,
		http.StatusBadGateway: gone, http.StatusServiceUnavailable: gone, http.StatusGatewayTimeout: gone,
	} {
		for _, page := range []string{"<html>secret-page</html>", `{"error": "secret-page"}`} {
			code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = fmt.Fprint(w, page)
			}, "pause", "shop")
			require.Equal(t, exitFailed, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, fmt.Sprintf(" answers %d %s, and not as a relay's API does\n", status, http.StatusText(status)))
			require.Contains(t, stderr, try)
			require.NotContains(t, stderr, "secret-page")
		}
	}
	for _, page := range []string{"<html>secret-page</html>", ""} {
		code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, page) }, "pause", "shop")
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.Regexp(t, `^tailpost: the answer of \S+ is not JSON\nTry: --api with the URL of a relay's API\n$`, stderr)
	}
}

func TestAnUnknownAuthorityIsToldWithItsRemedy(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	var out, errors bytes.Buffer
	code := run(t.Context(), []string{"tailpost", "status", "--api", server.URL}, func(string) string { return "" }, nil, &out, &errors)
	require.Equal(t, exitFailed, code)
	require.Contains(t, errors.String(), "its certificate is of an authority that this machine does not know\nTry: SSL_CERT_FILE")
}

func TestSizesAreReadable(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 53_687_091_200: "50.0 GiB", 1 << 50: "1024.0 TiB"} {
		require.Equal(t, want, size(n))
	}
}

func TestSizesOfADiskAreWhole(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]diskSize{"512MB": 512 << 20, "40GB": 40 << 30, "2 TB": 2 << 40} {
		var got diskSize
		require.NoError(t, got.Set(text))
		require.Equal(t, want, got, text)
		require.Equal(t, strconv.FormatInt(int64(want)>>20, 10)+"MB", got.String())
	}
	for _, wrong := range []string{"", "40", "40gb", "-1GB", "1.5TB", "40GB free", "1000000TB x"} {
		require.ErrorContains(t, new(diskSize).Set(wrong), `write it like "40GB"`, "%q", wrong)
	}
	require.Empty(t, new(diskSize).String())
}

func TestTimesMayBeHowLongAgo(t *testing.T) {
	t.Parallel()
	var got string
	require.NoError(t, timeFlag{&got}.Set("90m"))
	then, err := time.Parse(time.RFC3339Nano, got)
	require.NoError(t, err)
	require.WithinRange(t, then, time.Now().Add(-91*time.Minute), time.Now().Add(-89*time.Minute))
	require.NoError(t, timeFlag{&got}.Set("2026-03-14T08:00:00Z"))
	require.Equal(t, "2026-03-14T08:00:00Z", got)
	for _, wrong := range []string{"yesterday", "-2h", "2026-03-14", ""} {
		require.ErrorContains(t, timeFlag{&got}.Set(wrong), "how long ago", "%q", wrong)
	}
}

// White space around a key is no part of it: a line break that a store of secrets has put there
// would be one that no header may have.
func TestAKeyIsSentWithoutWhatIsAroundIt(t *testing.T) {
	t.Parallel()
	var sent string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"slot_state": {"active": true}}`))
	}))
	t.Cleanup(server.Close)
	env := map[string]string{apiVariable: server.URL, keyVariable: " a-key\r\n"}
	var out, complaint bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"tailpost", "status"}, func(name string) string { return env[name] }, nil, &out, &complaint), &complaint)
	require.Equal(t, "Bearer a-key", sent)
}
