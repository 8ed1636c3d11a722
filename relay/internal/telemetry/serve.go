package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // net/http wants one
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
)

// The limits of a connection and of a request.
const (
	headerTimeout = 5 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 5 * time.Minute // Prometheus asks again every minute by default
	maxHeader     = 16 << 10
)

// Listen opens the listener that the configuration asks for.
func Listen(ctx context.Context, cfg *config.Metrics) (net.Listener, error) {
	if !cfg.Loopback() {
		return nil, errors.New("listen for the metrics: only a loopback address will do: listen on 127.0.0.1")
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the metrics: %w", err)
	}
	return listener, nil
}

// Handler answers GET /metrics, to programs of this machine and to no web page that a browser of
// this machine shows.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !local(r.Host) {
			http.Error(w, "Metrics are served under the name localhost or a loopback address only.", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", ContentType)
		_, _ = w.Write(m.Text(r.Context())) // whoever asked may have left
	})
	return mux
}

// local reports whether a request names this machine: a page whose name was made to lead here does
// not.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, _ := netip.ParseAddr(strings.Trim(host, "[]")) // of what is none it is the zero one
	return host == "localhost" || addr.IsLoopback()
}

// Serve answers until ctx is done. It closes the listener.
func (m *Metrics) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: m.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0),
	}
	detach := context.AfterFunc(ctx, func() {
		// A scrape that is cut short is repeated.
		_ = server.Close()
	})
	defer detach()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the metrics: %w", err)
	}
	return nil
}
