package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/signature"
)

// attempt sends a request to r and returns the answer.
func attempt(t *testing.T, r *receiver, method, id string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "/", body)
	req.Header.Set(signature.HeaderID, id)
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, req)
	return answer
}

// The receiver fails the first attempts of each event as it was told, and begins anew with one that
// it has answered well.
func TestReceiverFailsAsToldEachEventForItself(t *testing.T) {
	t.Parallel()
	for status, failure := range map[int]int{0: http.StatusServiceUnavailable, http.StatusGone: http.StatusGone} {
		r := newReceiver(receiverOptions{status: status, fail: 1, show: func(received) error { return nil }})
		for i, want := range []int{failure, http.StatusOK, failure, http.StatusOK} {
			require.Equal(t, want, attempt(t, r, http.MethodPost, "a", strings.NewReader("{}")).Code, "attempt %d", i)
		}
		require.Equal(t, failure, attempt(t, r, http.MethodPost, "b", strings.NewReader("{}")).Code)
	}
}

// What the receiver says of a body: the type and the data of an envelope, and what there is of
// anything else.
func TestReceiverShowsEveryFormat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, header, eventType, preview, json string }{
		{`{"type": "a", "data": {"x": 1}}`, "", "a", `{"x":1}`, `{"type":"a","data":{"x":1}}`},
		{`{"type": "a", "data": {"x": 1}}`, "b", "b", `{"x":1}`, `{"type":"a","data":{"x":1}}`},
		{`{"x": 1}`, "b", "b", `{"x":1}`, `{"x":1}`},
		{`{"type": "a"}`, "", "", `{"type":"a"}`, `{"type":"a"}`},
		{`{"data": {"x": 1}}`, "", "", `{"data":{"x":1}}`, `{"data":{"x":1}}`},
		{`{"type": 7, "data": 1}`, "", "", `{"type":7,"data":1}`, `{"type":7,"data":1}`},
		{"\xffx", "", "", "\ufffdx", ""},
	} {
		got := received{Headers: http.Header{"Ce-Type": {test.header}}}
		got.describe([]byte(test.body))
		require.Equal(t, test.eventType, got.Type, test.body)
		require.Equal(t, test.preview, got.preview, test.body)
		require.Equal(t, strings.ToValidUTF8(test.body, "\ufffd"), got.BodyText)
		var shown bytes.Buffer
		require.NoError(t, (&app{stdout: &shown}).printReceivedJSON(got))
		if test.json == "" {
			require.NotContains(t, shown.String(), `"body":`)
		} else {
			require.Contains(t, shown.String(), `"body":`+test.json+`,"body_text":`)
		}
	}
}

func TestReceiverAnswersWhatIsNoAttempt(t *testing.T) {
	t.Parallel()
	var shown []received
	r := newReceiver(receiverOptions{show: func(got received) error {
		shown = append(shown, got)
		return nil
	}})
	answer := attempt(t, r, http.MethodGet, "a", nil)
	require.Equal(t, http.StatusMethodNotAllowed, answer.Code)
	require.Equal(t, http.MethodPost, answer.Header().Get("Allow"))
	require.Empty(t, shown, "a browser is no webhook")

	for status, test := range map[int]struct {
		err  error
		says string
	}{
		http.StatusBadRequest:            {io.ErrUnexpectedEOF, "body cut off"},
		http.StatusRequestEntityTooLarge: {&http.MaxBytesError{}, "body larger than 64 MiB"},
	} {
		cut := io.MultiReader(strings.NewReader("{"), iotest.ErrReader(test.err))
		require.Equal(t, status, attempt(t, r, http.MethodPost, "a", cut).Code)
		got := shown[len(shown)-1]
		require.Equal(t, rejected, got.Verdict)
		require.Equal(t, test.says, got.Error)
	}

	r.show = func(received) error { return errors.New("disk full") }
	require.Equal(t, http.StatusInternalServerError, attempt(t, r, http.MethodPost, "a", strings.NewReader("{}")).Code, "what was not printed is sent again")
}

// Every status and port that there is may be asked for.
func TestListenTakesEveryStatus(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"--status=200": exitOK, "--status=599": exitOK, "--fail=0": exitOK, "--status=199": exitUsage, "--status=600": exitUsage, "--port=-1": exitUsage, "--port=65536": exitUsage,
	} {
		ctx, stop := context.WithCancel(t.Context())
		said := stopsAt{text: "listening on http://127.0.0.1:", stop: stop}
		var out bytes.Buffer
		code := run(ctx, append([]string{"tailpost", "listen", "--port=0"}, args), func(string) string { return "" }, nil, &out, &said)
		require.Equal(t, want, code, "%s: %s", args, said.String())
		require.Empty(t, out.String())
	}
}
