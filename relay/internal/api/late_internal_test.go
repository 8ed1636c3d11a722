package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func TestNoErrorFollowsASuccess(t *testing.T) {
	t.Parallel()
	s := New(Options{Logger: zerolog.Nop()})
	s.Mount("/time", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(http.StatusOK)
		_ = encodeBody(w, map[string]any{"at": time.Date(20231, 1, 1, 0, 0, 0, 0, time.UTC)})
	}))
	s.Mount("/half", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte("half of it"))
		panic("a bug")
	}))
	s.Mount("/empty", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	failed := get("/time")
	require.Equal(t, http.StatusInternalServerError, failed.Code)
	require.Equal(t, "application/problem+json", failed.Header().Get("Content-Type"))
	require.Empty(t, failed.Header().Get("ETag"))
	half := get("/half")
	require.Equal(t, http.StatusAccepted, half.Code)
	require.Equal(t, "half of it", half.Body.String())
	require.Equal(t, http.StatusNoContent, get("/empty").Code)
}
