package kit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a command that runs beside the test. Its methods may be called from several
// goroutines.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once it ended and all it wrote is here

	mu      sync.Mutex
	stdout  bytes.Buffer
	stderr  bytes.Buffer
	records []Record
	wrote   chan struct{} // closed, and replaced, at each line of stderr
}

// dumpTime is how long a process may take to print its goroutines.
const dumpTime = 5 * time.Second

// Record is a line of a JSON log.
type Record map[string]any

// readAt is the field of a Record with the time at which the kit read it, finer than the log's own.
const readAt = "kit_read_at"

// ReadAt is when the kit read the record.
func (r Record) ReadAt() time.Time {
	at, _ := r[readAt].(time.Time)
	return at
}

// Command says what to run.
type Command struct {
	Path string
	Args []string
	Dir  string
	Env  map[string]string // beside what every process needs
	// Secrets must not appear in anything the process prints.
	Secrets []string
	// Stderr is where the process writes its log. nil: the kit reads it.
	Stderr *os.File
}

// Start runs a command. At the test's end it is killed if it still runs, and the test fails if it
// printed a secret, a data race or a panic.
func Start(t TB, c Command) *Process {
	t.Helper()
	p := &Process{done: make(chan struct{}), wrote: make(chan struct{})}
	p.cmd = exec.Command(c.Path, c.Args...) //nolint:gosec,noctx // a command that a test names; it outlives the test's context until its cleanup
	p.cmd.Dir = c.Dir
	p.cmd.Env = environment(c.Env)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("pipe stdout: %v", err)
	}
	var stderr io.Reader = strings.NewReader("")
	if c.Stderr != nil {
		p.cmd.Stderr = c.Stderr
	} else if stderr, err = p.cmd.StderrPipe(); err != nil {
		t.Fatalf("pipe stderr: %v", err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", c.Path, err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.read(stdout, p.addOutput) })
	readers.Go(func() { p.read(stderr, p.addError) })
	go func() {
		readers.Wait()
		_ = p.cmd.Wait() // its result stays in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			p.dump()
		}
		p.Kill()
		p.inspect(t, c.Secrets)
	})
	return p
}

// dump makes a Go process that still runs print where its goroutines are, and end.
func (p *Process) dump() {
	if p.cmd.Process.Signal(syscall.SIGQUIT) != nil {
		return // it has ended
	}
	timer := time.NewTimer(dumpTime)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
}

// RaceOptions is a variable of the environment that leaves a process with the race detector, which
// by itself sleeps for a second at its end, time enough for a report that another goroutine is
// writing: tests run hundreds of them.
const RaceOptions = "GORACE=atexit_sleep_ms=50"

// environment is the little that a process may see of ours, so that no test depends on the
// machine's settings.
func environment(own map[string]string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), RaceOptions}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		env = append(env, name+"="+own[name])
	}
	return env
}

// inspect fails the test for what no process may print.
func (p *Process) inspect(t TB, secrets []string) {
	t.Helper()
	out := p.Output()
	for i, secret := range secrets {
		if secret != "" && strings.Contains(out, secret) {
			t.Errorf("the process printed secret %d of %d of the test", i+1, len(secrets))
		}
	}
	if strings.Contains(out, "WARNING: DATA RACE") || strings.Contains(out, "\npanic: ") || strings.Contains(out, "\nfatal error: ") {
		t.Errorf("the process printed a data race or a panic")
	}
	if t.Failed() {
		const limit = 20_000
		out = withoutRuntime(out)
		t.Logf("the process printed (its end):\n%s", out[max(0, len(out)-limit):])
	}
}

// withoutRuntime leaves out, of a dump of goroutines, where exactly each is and what the Go runtime
// does by itself.
func withoutRuntime(out string) string {
	at := strings.Index(out, "SIGQUIT: quit")
	if at < 0 {
		return out
	}
	var b strings.Builder
	b.WriteString(out[:at])
	for line := range strings.Lines(out[at:]) {
		switch {
		case strings.HasPrefix(line, "rax "):
			return b.String() // the registers are all that follows
		case !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "runtime."):
			b.WriteString(line)
		}
	}
	return b.String()
}

func (p *Process) read(r io.Reader, take func(line []byte)) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			take(line)
		}
		if err != nil {
			return
		}
	}
}

func (p *Process) addOutput(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stdout.Write(line)
	p.signal()
}

func (p *Process) addError(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stderr.Write(line)
	var record Record
	if json.Unmarshal(line, &record) == nil && record != nil {
		record[readAt] = time.Now()
		p.records = append(p.records, record)
	}
	p.signal()
}

func (p *Process) signal() {
	close(p.wrote)
	p.wrote = make(chan struct{})
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is all that the process wrote so far, stdout before stderr.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String() + p.stderr.String()
}

// Stdout is what the process wrote there so far.
func (p *Process) Stdout() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

// Stderr is what the process wrote there so far.
func (p *Process) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// Log is the records of the process's log so far.
func (p *Process) Log() []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.records)
}

// Signal sends a signal. A process that is gone gets none.
func (p *Process) Signal(t TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("send %s: %v", s, err)
	}
}

// Kill ends the process at once, as a crash does, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // gone already: as wanted
	<-p.done
}

// Stop asks the process to end and waits for it. It returns the exit code.
func (p *Process) Stop(t TB) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.Wait(t, Patience)
}

// Wait waits for the end of the process and returns its exit code, -1 for one that a signal ended.
func (p *Process) Wait(t TB, within time.Duration) int {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		t.Fatalf("the process did not end within %s", within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Await waits for the first record of the log with the given text and fields, and returns it.
func (p *Process) Await(t TB, text string, fields Record) Record {
	t.Helper()
	return p.AwaitNth(t, 1, text, fields)
}

// AwaitNth is Await for the nth such record, from 1.
func (p *Process) AwaitNth(t TB, n int, text string, fields Record) Record {
	t.Helper()
	var found Record
	p.await(t, fmt.Sprintf("log record %q, number %d", text, n), func() bool {
		seen := 0
		for _, r := range p.records {
			if r.matches(text, fields) {
				if seen++; seen == n {
					found = r
					return true
				}
			}
		}
		return false
	})
	return found
}

// AwaitMatch waits for what the process prints to match an expression, and returns the match and
// its groups.
func (p *Process) AwaitMatch(t TB, expression string) []string {
	t.Helper()
	re := regexp.MustCompile(expression)
	var found []string
	p.await(t, fmt.Sprintf("output %q", expression), func() bool {
		if found = re.FindStringSubmatch(p.stdout.String()); found == nil {
			found = re.FindStringSubmatch(p.stderr.String())
		}
		return found != nil
	})
	return found
}

// await waits until found says so; found runs with p.mu held after each line.
func (p *Process) await(t TB, what string, found func() bool) {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	ended := false
	for {
		p.mu.Lock()
		ok, wrote := found(), p.wrote
		p.mu.Unlock()
		switch {
		case ok:
			return
		case ended:
			t.Fatalf("the process ended with %d before %s", p.cmd.ProcessState.ExitCode(), what)
			return
		}
		select {
		case <-wrote:
		case <-p.done:
			ended = true // one more look at what it wrote last
		case <-timer.C:
			t.Fatalf("no %s within %s", what, Patience)
			return
		}
	}
}

// matches reports whether the record has this text and these fields. Numbers compare as
// encoding/json reads them.
func (r Record) matches(text string, fields Record) bool {
	if r["message"] != text {
		return false
	}
	for name, want := range fields {
		if fmt.Sprint(r[name]) != fmt.Sprint(want) {
			return false
		}
	}
	return true
}
