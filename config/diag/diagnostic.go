package diag

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Severity says how bad a Diagnostic is.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Diagnostic is one thing that is wrong with a configuration, and what to do about it. It holds no
// secret.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`    // empty: the configuration was built in Go
	Line     int      `json:"line,omitempty"`    // from 1
	Column   int      `json:"column,omitempty"`  // from 1, in characters
	Field    string   `json:"field,omitempty"`   // the setting, for example endpoint.erp.timeout; empty: none in particular
	Summary  string   `json:"summary"`           // what is wrong, a noun phrase
	Detail   string   `json:"detail"`            // what to do
	Snippet  string   `json:"snippet,omitempty"` // the line, with [redacted] for secrets

	mark span // the characters of Snippet that are meant; empty: none
}

// Diagnostics is everything that is wrong with a configuration, ordered by place. Empty: all is
// well.
type Diagnostics []Diagnostic

// HasErrors reports whether there is more than warnings.
func (d Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(d, func(d Diagnostic) bool { return d.Severity == SeverityError })
}

// Error lists the errors, one a line; warnings are left out.
func (d Diagnostics) Error() string {
	var lines []string
	for i := range d {
		if d[i].Severity == SeverityError {
			lines = append(lines, d[i].Error())
		}
	}
	return strings.Join(lines, "\n")
}

// Error returns the problem in one line: place, summary, detail.
func (d Diagnostic) Error() string {
	text := d.Summary + ": " + d.Detail
	switch {
	case d.File != "" && d.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", d.File, d.Line, d.Column, text)
	case d.File != "":
		return d.File + ": " + text
	case d.Field != "":
		return d.Field + ": " + text
	default:
		return text
	}
}

// Write writes the problems for people, each with its line of the file, in color if the terminal
// has it.
func (d Diagnostics) Write(w io.Writer, color bool) error {
	var b strings.Builder
	for i := range d {
		if i > 0 {
			b.WriteByte('\n')
		}
		d[i].write(&b, color)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write diagnostics: %w", err)
	}
	return nil
}

func (d Diagnostic) write(b *strings.Builder, color bool) {
	paint, bold, faint, plain := "", "", "", ""
	if color {
		paint, bold, faint, plain = "\x1b[1;31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
	}
	label := "Error"
	if d.Severity == SeverityWarning {
		label = "Warning"
		if color {
			paint = "\x1b[1;33m"
		}
	}
	fmt.Fprintf(b, "%s%s:%s %s%s%s\n", paint, label, plain, bold, d.Summary, plain)
	switch {
	case d.File != "" && d.Line > 0:
		fmt.Fprintf(b, "  at %s:%d:%d\n", d.File, d.Line, d.Column)
	case d.File != "":
		fmt.Fprintf(b, "  at %s\n", d.File)
	case d.Field != "":
		fmt.Fprintf(b, "  at %s\n", d.Field)
	}
	if d.Snippet != "" {
		number := fmt.Sprintf("%5d", d.Line)
		fmt.Fprintf(b, "%s%s |%s %s\n", faint, number, plain, printable(d.Snippet))
		if d.mark.to > d.mark.from {
			fmt.Fprintf(b, "%s%s |%s %s%s%s%s\n", faint, strings.Repeat(" ", len(number)), plain,
				indent(d.Snippet, d.mark.from), paint, strings.Repeat("^", d.mark.to-d.mark.from), plain)
		}
	}
	fmt.Fprintf(b, "  %s\n", d.Detail)
}

// printable returns line without what a terminal would act on.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f) {
			return '\uFFFD'
		}
		return r
	}, line)
}

// indent returns white space as wide as the first n characters of line.
func indent(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n--; n < 0 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Sorted orders the problems by place and drops those that say the same of the same place, as a
// problem of the defaults block does once for each endpoint.
func (d Diagnostics) Sorted() Diagnostics {
	slices.SortStableFunc(d, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Summary, b.Summary), cmp.Compare(a.Detail, b.Detail))
	})
	return slices.CompactFunc(d, func(a, b Diagnostic) bool {
		return a.File != "" && a.File == b.File && a.Line == b.Line && a.Column == b.Column &&
			a.Summary == b.Summary && a.Detail == b.Detail
	})
}

// List writes words as "a", "b" or "c", with that conjunction.
func List(words []string, conjunction string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " " + conjunction + " " + quoted[last]
}
