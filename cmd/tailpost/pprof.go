package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/rs/zerolog"
)

// listenPprof listens for requests for profiles; nil if address is empty.
func listenPprof(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for --pprof: %w", err)
	}
	return listener, nil
}

// addressOf returns what a listener listens on: no request may go there.
func addressOf(listener net.Listener) []netip.AddrPort {
	if listener == nil {
		return nil
	}
	address, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		return nil // no TCP address: no request could reach it
	}
	return []netip.AddrPort{address}
}

// servePprof serves runtime profiles until ctx is done. They show no event and no secret, but they
// do show the process's arguments, and a profile costs CPU: the address should be one of loopback.
func servePprof(ctx context.Context, listener net.Listener, log zerolog.Logger) error {
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
