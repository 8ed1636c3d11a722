package config

import (
	"fmt"
	"strings"
)

// Severity says how bad a Diagnostic is.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Diagnostic is one thing that is wrong with a configuration, and what to do about it. It holds no secret.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`   // empty: the configuration was built in Go
	Line     int      `json:"line,omitempty"`   // from 1; 0: the whole file
	Column   int      `json:"column,omitempty"` // from 1, in characters
	Summary  string   `json:"summary"`          // what is wrong, a noun phrase
	Detail   string   `json:"detail"`           // what to do
	Snippet  string   `json:"snippet,omitempty"`
}

// Diagnostics is everything that is wrong with a configuration, ordered by place. Empty: all is well.
type Diagnostics []Diagnostic

// HasErrors reports whether there is more than warnings.
func (d Diagnostics) HasErrors() bool {
	for i := range d {
		if d[i].Severity == SeverityError {
			return true
		}
	}
	return false
}

// Error lists the problems in one line each, warnings left out.
func (d Diagnostics) Error() string {
	var b strings.Builder
	for i := range d {
		if d[i].Severity != SeverityError {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d[i].Error())
	}
	return b.String()
}

// Error gives the problem in one line: place, summary, detail.
func (d Diagnostic) Error() string {
	switch {
	case d.File == "":
		return d.Summary + ": " + d.Detail
	case d.Line == 0:
		return fmt.Sprintf("%s: %s: %s", d.File, d.Summary, d.Detail)
	default:
		return fmt.Sprintf("%s:%d:%d: %s: %s", d.File, d.Line, d.Column, d.Summary, d.Detail)
	}
}
