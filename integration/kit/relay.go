package kit

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// What the relay logs when its state changes; operators and tests wait for these.
const (
	LogDelivering = "slot taken, delivering"
	LogStandby    = "another relay holds the slot, standing by"
	LogReloaded   = "configuration reloaded"
)

// Options say how to run a relay.
type Options struct {
	Config Config
	HCL    string            // instead of Config's text
	Path   string            // of the configuration; empty: tailpost.hcl in a directory of the test's own, written here
	Env    map[string]string // beside Config's
	Args   []string          // further flags of `tailpost run`
	Stderr *os.File          // see Command
	// Descriptors is how many file descriptors the relay may have; 0: as many as the test.
	Descriptors int
	Plain       bool   // run PlainBinary: the test measures memory or time, or takes minutes otherwise
	Binary      string // run this tailpost instead
	// Secrets must never be printed, beside Config's.
	Secrets []string
}

// Relay is a `tailpost run` process.
type Relay struct {
	*Process

	Path string // of its configuration
}

// StartRelay runs a relay and returns at once. The relay is killed at the test's end if it still
// runs.
func StartRelay(t TB, o Options) *Relay {
	t.Helper()
	path := o.Path
	if path == "" {
		path = filepath.Join(t.TempDir(), "tailpost.hcl")
		text := o.HCL
		if text == "" {
			text = o.Config.HCL()
		}
		WriteFile(t, path, text)
	}
	env := o.Config.Env()
	maps.Copy(env, o.Env)
	binary := Binary
	if o.Plain {
		binary = PlainBinary
	}
	program := o.Binary
	if program == "" {
		program = binary(t)
	}
	command := append([]string{program, "run", "-c", path}, o.Args...)
	if o.Descriptors > 0 {
		// Go raises the soft limit to the hard one, so this lowers both.
		command = append([]string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, o.Descriptors)}, command...)
	}
	p := Start(t, Command{
		Path: command[0], Args: command[1:], Dir: filepath.Dir(path), Env: env,
		Secrets: append(o.Config.Secrets(), o.Secrets...), Stderr: o.Stderr,
	})
	return &Relay{Process: p, Path: path}
}

// StartDelivering is StartRelay, and waits until the relay delivers.
func StartDelivering(t TB, o Options) *Relay {
	t.Helper()
	r := StartRelay(t, o)
	r.Await(t, LogDelivering, nil)
	return r
}

// Reload writes a new configuration and sends SIGHUP.
func (r *Relay) Reload(t TB, text string) {
	t.Helper()
	WriteFile(t, r.Path, text)
	r.Signal(t, syscall.SIGHUP)
}

// WriteFile writes a file so that a reader sees either the old or the new one.
func WriteFile(t TB, path, text string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatalf("write a file: %v", err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatalf("write a file: %v", err)
	}
}

// Run runs the tailpost binary to its end and returns it, for commands other than run.
func Run(t TB, c Command) *Process {
	t.Helper()
	if c.Path == "" {
		c.Path = Binary(t)
	}
	p := Start(t, c)
	p.Wait(t, Patience)
	return p
}

// ExitCode is the exit code of a process that has ended.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Lines are the lines of a text, without empty ones.
func Lines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
