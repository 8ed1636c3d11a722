package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// isTerminal reports whether w is a terminal that can move its cursor.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" //nolint:forbidigo // Asked of the terminal itself.
}

// demoView shows events as they travel: on a terminal as a board of one line an event that changes
// in place, elsewhere as one plain line a step. It is safe for concurrent use.
type demoView struct {
	mu    sync.Mutex
	out   io.Writer
	plain bool
	begin time.Time
	rows  []*demoRow
	drawn int // lines of the board on the screen
}

// demoRow is one event.
type demoRow struct {
	id         string
	event      string
	order      int
	rolledBack bool
	endpoints  []string
	steps      map[string][]string
	delivered  map[string]bool
}

func newDemoView(out io.Writer, plain bool) *demoView {
	return &demoView{out: out, plain: plain, begin: time.Now()}
}

// say prints a line that stays.
func (v *demoView) say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	v.print("%7s  %s\n", v.clock(), line)
	v.draw()
}

// paragraph prints a line to be copied.
func (v *demoView) paragraph(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	v.print("\n%s\n\n", line)
	v.draw()
}

// add shows an event at its commit, or at the rollback that it does not survive.
func (v *demoView) add(row demoRow) {
	v.mu.Lock()
	defer v.mu.Unlock()
	row.steps, row.delivered = map[string][]string{}, map[string]bool{}
	v.rows = append(v.rows, &row)
	what := "commit"
	if row.rolledBack {
		what = "rollback"
	}
	v.step(what, &row, "", "")
}

// posted shows that a receiver got an event.
func (v *demoView) posted(id, endpoint, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	row := v.row(id)
	row.note(endpoint, what)
	v.step("POST", row, endpoint, what)
}

// recorded shows that an attempt is in the database.
func (v *demoView) recorded(a demoAttempt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	row := v.row(a.ID)
	what := fmt.Sprintf("attempt %d recorded as %s", a.Number, a.Outcome)
	if row.order == 0 {
		row.event = a.Event // inserted by hand
	}
	row.note(a.Endpoint, what)
	row.delivered[a.Endpoint] = a.Outcome == "delivered"
	v.step("record", row, a.Endpoint, what)
}

// note adds a step of a delivery.
func (r *demoRow) note(endpoint, what string) {
	if !slices.Contains(r.endpoints, endpoint) {
		r.endpoints = append(r.endpoints, endpoint)
	}
	r.steps[endpoint] = append(r.steps[endpoint], what)
}

// row finds an event, or makes one for a row that somebody inserted by hand.
func (v *demoView) row(id string) *demoRow {
	for _, r := range v.rows {
		if r.id == id {
			return r
		}
	}
	r := &demoRow{id: id, event: "event " + id, steps: map[string][]string{}, delivered: map[string]bool{}}
	v.rows = append(v.rows, r)
	return r
}

// complete reports whether every committed event is recorded as delivered to all of its endpoints.
func (v *demoView) complete() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.rows {
		for _, e := range r.endpoints {
			if !r.rolledBack && !r.delivered[e] {
				return false
			}
		}
	}
	return len(v.rows) > 0
}

// release leaves the board on the screen as it is and begins a new one below.
func (v *demoView) release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drawn, v.rows = 0, nil
}

func (v *demoView) clock() string { return fmt.Sprintf("%.3fs", time.Since(v.begin).Seconds()) }

// step shows one step of an event.
func (v *demoView) step(kind string, row *demoRow, endpoint, what string) {
	if v.plain {
		v.print("%7s  %-8s  %-19s %-9s  %s\n", v.clock(), kind, row.title(), endpoint, what)
		return
	}
	v.erase()
	v.draw()
}

func (r *demoRow) title() string {
	if r.order == 0 {
		return r.event
	}
	return fmt.Sprintf("%s %d", r.event, r.order)
}

// erase moves the cursor back to the first line of the board and clears what is below.
func (v *demoView) erase() {
	if v.drawn > 0 {
		v.print("\x1b[%dA\x1b[J", v.drawn)
		v.drawn = 0
	}
}

// draw writes the board: an event a line, and below it a line for each endpoint.
func (v *demoView) draw() {
	if v.plain {
		return
	}
	for _, r := range v.rows {
		state := "\x1b[32mcommitted\x1b[0m"
		if r.rolledBack {
			state = "\x1b[33mrolled back: no event\x1b[0m"
		}
		v.line("  %-20s %s", r.title(), state)
		for _, e := range r.endpoints {
			if r.rolledBack {
				continue
			}
			v.line("      %-10s %s", e, r.progress(e))
		}
	}
}

// progress is the last that is known of a delivery.
func (r *demoRow) progress(endpoint string) string {
	steps := r.steps[endpoint]
	if len(steps) == 0 {
		return "…"
	}
	color := "\x1b[33m"
	if r.delivered[endpoint] {
		color = "\x1b[32m"
	}
	return color + strings.Join(steps[max(0, len(steps)-2):], " → ") + "\x1b[0m"
}

func (v *demoView) line(format string, args ...any) {
	v.print(format+"\n", args...)
	v.drawn++
}

func (v *demoView) print(format string, args ...any) {
	// A view that nobody sees is no reason to stop.
	_, _ = fmt.Fprintf(v.out, format, args...)
}
