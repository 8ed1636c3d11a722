package main

import (
	"context"
	"fmt"
	"net"
)

// gateway starts the way out of one process: an HTTP proxy that has so many requests on their way
// to the receiver at most, and lets others wait in their turn. Proxy and receiver are one, so that
// passing on costs nothing.
func (s *sink) gateway(ctx context.Context, most int) (url string, shut func() error, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("start a proxy: %w", err)
	}
	go s.accept(l, make(chan struct{}, most))
	return "http://" + l.Addr().String(), l.Close, nil
}
