package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/rs/zerolog"
)

// servePprof serves runtime profiles on an address until ctx is done. They show no event and no
// secret, but they do show the process's arguments, and a profile costs CPU: the address should be
// one of loopback.
func servePprof(ctx context.Context, address string, log zerolog.Logger) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for --pprof: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	detach := context.AfterFunc(ctx, func() {
		// A profile that is being taken is of no use any more.
		_ = server.Close()
	})
	defer detach()
	log.Info().Str("address", listener.Addr().String()).Msg("profiles served")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve --pprof: %w", err)
	}
	return nil
}
