package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/integration/pgtest"
)

const (
	exitFailed = 1
	exitUsage  = 2
	grace      = 30 * time.Second // for the command to end after a signal
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(stderr, "usage: go run ./integration/pgtest/cmd -- COMMAND [ARGUMENT]...")
		return exitUsage
	}
	env := os.Environ()
	if getenv(pgtest.DatabaseURLVariable) == "" {
		server, err := pgserver.Start(ctx, pgserver.Options{Settings: pgserver.FastSettings()})
		if err != nil {
			fmt.Fprintln(stderr, "pgtest:", err)
			return exitFailed
		}
		defer server.Close()
		env = append(env, pgtest.DatabaseURLVariable+"="+server.URL("postgres"))
	}
	command := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // running its arguments is what it is for
	command.Env, command.Stdin, command.Stdout, command.Stderr = env, stdin, stdout, stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = grace
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	}
	fmt.Fprintln(stderr, "pgtest:", err)
	return exitFailed
}
