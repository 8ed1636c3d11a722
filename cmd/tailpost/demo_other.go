//go:build !unix

package main

import (
	"context"
	"errors"
)

// demoRemedy is what helps where no server starts.
const demoRemedy = "the demo in WSL or a container; every other command works here"

// startDemoServer cannot start a Postgres here: how it ends with this process is a matter of
// signals and process groups.
func startDemoServer(context.Context) (demoServer, error) {
	return nil, errors.New("the demo runs on Linux and macOS only")
}
