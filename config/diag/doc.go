// Package diag says what is wrong with a configuration, where, and what to do about it.
//
// A Diagnostic has the place, a snippet of the line with the part that is meant, a summary and a
// remedy; Diagnostics are all of them, in order. A Source is the text that they quote: it knows
// what of it is secret by its shape and by the names of attributes, even where it does not parse,
// and no snippet shows that.
//
// It decides nothing about the language: that is package config, and config/filter for expressions.
package diag
