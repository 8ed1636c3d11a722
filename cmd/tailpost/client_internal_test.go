package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// askAPI runs a command against an API that answers so.
func askAPI(t *testing.T, handler http.HandlerFunc, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	env := map[string]string{apiVariable: server.URL, keyVariable: "a-key"}
	var out, errors bytes.Buffer
	code = run(t.Context(), append([]string{"tailpost"}, args...), func(name string) string { return env[name] }, nil, &out, &errors)
	return code, out.String(), errors.String()
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
	// Three pages; one of them is short, as the API's may be.
	pages := map[string]string{"": "1,2", "a": "3", "b": "4,5"}
	next := map[string]string{"": "a", "a": "b", "b": ""}
	handler := func(w http.ResponseWriter, r *http.Request) {
		cursor := r.URL.Query().Get("cursor")
		var data []string
		for id := range strings.SplitSeq(pages[cursor], ",") {
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

func TestAKeyGoesToNoOtherAddress(t *testing.T) {
	t.Parallel()
	elsewhere := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere <- r.URL.Path }))
	t.Cleanup(other.Close)
	code, _, stderr := askAPI(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/stolen", http.StatusTemporaryRedirect)
	}, "status")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "the API answers 307")
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
