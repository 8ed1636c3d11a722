package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tailpost/tailpost/config"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 3
)

// usageError means that the command line is wrong.
type usageError struct {
	err     error
	command string // whose help explains more
	try     string // a better idea than the help; empty: none
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes a usageError of command.
func usagef(command, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), command: command}
}

// asUsage makes err a usageError of command if it is none.
func asUsage(err error, command string) error {
	if _, ok := errors.AsType[*usageError](err); ok {
		return err
	}
	return &usageError{err: err, command: command}
}

// configError means that the configuration is invalid.
type configError struct {
	diagnostics config.Diagnostics
}

func (e *configError) Error() string { return e.diagnostics.Error() }

// asConfigError makes err a configError if it holds diagnostics.
func asConfigError(err error) error {
	if diagnostics, ok := errors.AsType[config.Diagnostics](err); ok {
		return &configError{diagnostics: diagnostics}
	}
	return err
}

// hintError is a failure with a remedy.
type hintError struct {
	err error
	try string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// hint adds to err what the user can try.
func hint(err error, try string) error {
	if err == nil {
		return nil
	}
	return &hintError{err: err, try: try}
}

// quietError is a failure whose result says all there is to say.
type quietError struct {
	code int
}

func (e *quietError) Error() string { return fmt.Sprintf("exit with %d", e.code) }

// report prints err and returns the exit code.
func (a *app) report(err error) int {
	code := a.complainOf(err)
	if _, quiet := errors.AsType[*quietError](err); a.oneFailure && !quiet && code != exitOK {
		return exitFailed
	}
	return code
}

// complainOf prints err and returns the exit code that it has.
func (a *app) complainOf(err error) int {
	var (
		usage   *usageError
		invalid *configError
		hinted  *hintError
		quiet   *quietError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &quiet):
		return quiet.code
	case errors.As(err, &usage):
		a.complain(err)
		if usage.try == "" {
			usage.try = usage.command + " --help"
		}
		a.note("Try: %s", usage.try)
		return exitUsage
	case errors.As(err, &invalid):
		a.printDiagnostics(invalid.diagnostics)
		return exitConfig
	case errors.As(err, &hinted):
		a.complain(err)
		a.note("Try: %s", hinted.try)
		return exitFailed
	}
	a.complain(err)
	return exitFailed
}

// complain writes err to stderr as one paragraph.
func (a *app) complain(err error) {
	a.note("tailpost: %s", strings.TrimSpace(err.Error()))
}

// note writes a line to stderr.
func (a *app) note(format string, args ...any) {
	// There is nowhere left to tell that stderr is closed.
	_, _ = fmt.Fprintf(a.stderr, format+"\n", args...)
}
