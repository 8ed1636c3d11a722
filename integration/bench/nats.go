package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/tailpost/tailpost/integration/kit"
)

// nats is one node of NATS with files of its own, in a process of its own.
type nats struct {
	*process

	url string
}

// runNATS is the child process of NATS. It prints its address, and runs until it is stopped or its
// parent is gone.
func runNATS(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("nats", flag.ContinueOnError)
	dir := flags.String("dir", "", "where its files go")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the parent
		stop()
	}()
	return kit.ServeNATS(ctx, *dir, func(url string) { fmt.Fprintln(stdout, url) })
}

// withNATS runs a part of a case beside a new node of NATS.
func withNATS(ctx context.Context, b *bench, part func(*nats) error) (err error) {
	dir, err := os.MkdirTemp(b.dir, "nats-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	cmd := exec.CommandContext(ctx, b.self(), "nats", "-dir", dir) //nolint:gosec // ourselves
	cmd.Stderr = b.log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	n := &nats{process: &process{cmd: cmd}}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return errors.Join(fmt.Errorf("start NATS: %w", err), n.stop())
	}
	n.url = strings.TrimSpace(line)
	return errors.Join(part(n), n.stop())
}
