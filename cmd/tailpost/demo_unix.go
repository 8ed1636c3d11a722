//go:build unix

package main

import (
	"context"

	"github.com/tailpost/tailpost/integration/pgserver"
)

// demoRemedy is what helps where no server starts.
const demoRemedy = "make demo, which installs what is missing"

// startDemoServer starts a Postgres that goes with this process.
func startDemoServer(ctx context.Context) (demoServer, error) {
	server, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		return nil, err
	}
	return server, nil
}
