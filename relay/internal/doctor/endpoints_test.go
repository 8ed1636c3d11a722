package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

func TestReceiversAreExaminedWithoutAnEvent(t *testing.T) {
	t.Parallel()
	var bodies atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || r.ContentLength > 0 {
			bodies.Add(1)
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	silent := httptest.NewServer(handler)
	silent.Close()
	cfg := &config.Config{
		Network: config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Endpoints: []config.Endpoint{
			{ID: "plain", URL: plain.URL + "/hook?key=hunter2"},
			{ID: "untrusted", URL: secure.URL},
			{ID: "silent", URL: silent.URL},
			{ID: "nowhere", URL: "https://receiver.invalid/"},
			{ID: "inside", URL: "http://127.0.0.2:9/"},
		},
	}
	found := doctor.Endpoints(t.Context(), cfg, time.Now())
	require.Len(t, found, len(cfg.Endpoints))
	for i, want := range []struct {
		grade       doctor.Grade
		detail, fix string
	}{
		{doctor.OK, "endpoint plain answers (405 to HEAD)", ""},
		{doctor.Failure, "endpoint untrusted: TLS: ", ""},
		{doctor.Failure, "endpoint silent: ", ""},
		{doctor.Failure, "endpoint nowhere: ", ""},
		{doctor.Failure, "endpoint inside: ", "network.allow"},
	} {
		require.Equal(t, "endpoint", found[i].Check)
		require.Equal(t, want.grade, found[i].Grade, found[i].Detail)
		require.True(t, strings.HasPrefix(found[i].Detail, want.detail), found[i].Detail)
		require.Contains(t, found[i].Fix, want.fix)
		require.NotContains(t, found[i].Detail, "hunter2")
	}
	require.Contains(t, found[2].Detail, "refused")
	require.Zero(t, bodies.Load(), "something but HEAD was sent")
}
