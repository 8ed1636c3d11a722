package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// spawn starts a program of the server's as its account, in its folder, output into its log. Its
// process group is its own, so that Ctrl-C in a terminal reaches us alone and we decide when the
// server goes.
func (s *Server) spawn(name string, args ...string) (*os.Process, error) {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of Postgres: %w", err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer null.Close()

	env := []string{"LC_ALL=C", "TZ=UTC", "PATH=" + s.binDir + ":/usr/bin:/bin"} // no PG* variable of the caller's
	for _, name := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	p, err := os.StartProcess(filepath.Join(s.binDir, name), append([]string{name}, args...), &os.ProcAttr{
		Dir: s.dir, Env: env, Files: []*os.File{null, log, log},
		Sys: &syscall.SysProcAttr{Credential: s.account.Credential, Setpgid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// peek reports whether p ended, and collects it then. It does what os.Process.Wait does without a
// goroutine that blocks in it for as long as the server lives, which goleak would report in every
// test binary.
func peek(p *os.Process) (syscall.WaitStatus, bool, error) {
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(p.Pid, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return 0, false, fmt.Errorf("wait for process %d: %w", p.Pid, err)
		case pid == 0:
			return 0, false, nil
		}
		return status, true, p.Release()
	}
}

// await waits for p to end.
func await(ctx context.Context, p *os.Process) (syscall.WaitStatus, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		status, done, err := peek(p)
		if done || err != nil {
			return status, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// reap collects a process that was killed.
func reap(p *os.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_, err := await(ctx, p)
	return err
}

// watchdog is a shell that outlives us: when its standard input ends, with us or by dismiss, it
// stops whatever postmaster the folder's lock file names and removes the folder.
type watchdog struct {
	process *os.Process
	stdin   *os.File // nil after dismiss
}

const watchdogScript = `
while read -r _; do :; done
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
n=0
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ "$n" -lt 100 ]; do n=$((n+1)); sleep 0.1; done
rm -rf "$1"`

func watch(dir string) (*watchdog, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the watchdog of Postgres: %w", err)
	}
	defer r.Close()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", watchdogScript, "tailpost-pg-watchdog", dir}, &os.ProcAttr{
		Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, Files: []*os.File{r, nil, nil},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the watchdog of Postgres: %w", err), w.Close())
	}
	return &watchdog{process: p, stdin: w}, nil
}

// dismiss ends the watchdog after the folder is gone.
func (w *watchdog) dismiss(ctx context.Context) error {
	if w.stdin == nil {
		return nil
	}
	err := w.stdin.Close()
	w.stdin = nil
	_, waitErr := await(ctx, w.process)
	return errors.Join(err, waitErr)
}
