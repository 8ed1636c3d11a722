package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a case waits for anything.
const patience = 4 * time.Minute

// process is a relay, or the poller, that runs beside the case.
type process struct {
	cmd     *exec.Cmd
	startup time.Duration // until it delivered, or what else it was to do
}

// startRelay runs the relay and returns once it delivers.
func (d *database) startRelay(ctx context.Context) (*process, error) {
	return d.startUntil(ctx, "slot taken, delivering")
}

// startUntil runs a relay, with more in its environment, and returns once it logs what is to be
// awaited.
func (d *database) startUntil(ctx context.Context, awaited string, env ...string) (*process, error) {
	args := []string{"run", "--watch=false", "--grace", "1s"}
	if d.b.verbose {
		args = append(args, "--pprof", "127.0.0.1:0")
	}
	cmd := d.command(ctx, args...)
	cmd.Env = append(cmd.Env, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	p := &process{cmd: cmd}
	started := make(chan struct{})
	ended := make(chan string, 1)
	go func() {
		var last strings.Builder
		lines := bufio.NewScanner(stderr)
		for waiting := true; lines.Scan(); {
			if d.b.verbose {
				fmt.Fprintln(d.b.log, lines.Text())
			}
			if waiting && strings.Contains(lines.Text(), awaited) {
				p.startup = time.Since(began)
				close(started)
				waiting = false
			}
			if waiting {
				last.WriteString(lines.Text() + "\n")
			}
		}
		ended <- last.String()
	}()
	select {
	case <-started:
		return p, nil
	case out := <-ended:
		return nil, errors.Join(errors.New("the relay ended: "+out), p.stop())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), p.stop())
	}
}

// startPoller runs the poller.
func (d *database) startPoller(ctx context.Context, senders int) (*process, error) {
	cmd := exec.CommandContext(ctx, d.b.self(), "poll", "-database", d.url, "-url", d.b.sink.url+"/poller", //nolint:gosec // ourselves
		"-senders", strconv.Itoa(senders), "-page", strconv.Itoa(max(500, senders)))
	cmd.Stderr = d.b.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the poller: %w", err)
	}
	return &process{cmd: cmd}, nil
}

// self is this program's file.
func (b *bench) self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the process to end and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop a process: %w", err)
	}
	return p.wait()
}

// wait waits until the process has ended, however it does.
func (p *process) wait() error {
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("wait for a process: %w", err)
	}
	return nil
}

// kill ends the process without a word, also one that was stopped.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill a process: %w", err)
	}
	return p.wait()
}

// limit posts n requests to as many paths, in a process of its own, and returns its rate and CPU.
func (b *bench) limit(ctx context.Context, n, concurrency, paths int) (postResult, error) {
	return b.post(ctx, "-n", strconv.Itoa(n), "-concurrency", strconv.Itoa(concurrency), "-paths", strconv.Itoa(paths))
}

func (b *bench) post(ctx context.Context, args ...string) (postResult, error) {
	args = append([]string{"post", "-url", b.sink.url, "-http2=" + strconv.FormatBool(b.sink.http2)}, args...)
	cmd := exec.CommandContext(ctx, b.self(), args...) //nolint:gosec // ourselves
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return postResult{}, fmt.Errorf("post: %w\n%s", err, stderr.String())
	}
	var result postResult
	if err := json.Unmarshal(out, &result); err != nil {
		return postResult{}, fmt.Errorf("read what post printed: %w", err)
	}
	return result, nil
}

// limitFresh posts n requests, each to a path of its own on a connection of its own.
func (b *bench) limitFresh(ctx context.Context, n, concurrency int) (postResult, error) {
	return b.post(ctx, "-n", strconv.Itoa(n), "-concurrency", strconv.Itoa(concurrency), "-paths", strconv.Itoa(n), "-fresh")
}

// await waits until the paths below prefix have n events.
func (b *bench) await(ctx context.Context, prefix string, n int) (tally, error) {
	return b.awaitFor(ctx, prefix, n, patience)
}

func (b *bench) awaitFor(ctx context.Context, prefix string, n int, patience time.Duration) (tally, error) {
	deadline := time.Now().Add(patience)
	for {
		t := b.sink.tally(prefix)
		switch {
		case t.received >= n:
			return t, nil
		case time.Now().After(deadline):
			return t, fmt.Errorf("%d of %d events after %s", t.received, n, patience)
		case ctx.Err() != nil:
			return t, ctx.Err()
		}
		time.Sleep(5 * time.Millisecond)
	}
}
