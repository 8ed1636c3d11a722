// Package config turns configuration files into plain Go values, and says precisely what is wrong
// with them.
//
// It owns the language: which blocks and attributes exist, their defaults and their rules. Below it
// are
//
//	filter  the expressions of where and body, compiled to functions over an event
//	diag    diagnostics: the place, a snippet without its secrets, a remedy
//
// HCL stops here: no type of the HCL libraries is part of this package's API. An application may as
// well build a Config in Go; Complete applies the same defaults and rules to it.
//
// It never opens a connection, reads no environment but through Options.Getenv and no file but
// through Options.ReadFile, and never prints a secret.
package config
