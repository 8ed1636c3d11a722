package config

import (
	"maps"
	"slices"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/config/filter"
)

// Filter is a compiled `where` expression; package filter has what it means.
type Filter = filter.Filter

// Body is a compiled `body` expression; package filter has what it means.
type Body = filter.Body

// Search is a compiled `search` object; package filter has what it means.
type Search = filter.Search

// CompileFilter is filter.Compile.
func CompileFilter(src, filename string, line int) (*Filter, Diagnostics) {
	return filter.Compile(src, filename, line)
}

// CompileBody is filter.CompileBody.
func CompileBody(src, filename string, line int) (*Body, Diagnostics) {
	return filter.CompileBody(src, filename, line)
}

// CompileSearch is filter.CompileSearch.
func CompileSearch(src, filename string, line int) (*Search, Diagnostics) {
	return filter.CompileSearch(src, filename, line)
}

// SearchTerm is filter.Term.
func SearchTerm(name, value string) string { return filter.Term(name, value) }

// SplitSearchTerm is filter.SplitTerm.
func SplitSearchTerm(text string) (name, value string) { return filter.SplitTerm(text) }

// Diagnostic is one thing that is wrong with a configuration; package diag has its parts.
type Diagnostic = diag.Diagnostic

// Diagnostics are everything that is wrong with a configuration.
type Diagnostics = diag.Diagnostics

// Severity says how bad a Diagnostic is.
type Severity = diag.Severity

// The severities.
const (
	SeverityError   = diag.SeverityError
	SeverityWarning = diag.SeverityWarning
)

// sortedKeys returns the names of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
