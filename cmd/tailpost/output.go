package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// printf writes to stdout. A result that does not arrive is a failure.
func (a *app) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(a.stdout, format, args...); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// printJSON writes v to stdout as one line of JSON.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// readInput reads the file, or stdin if its name is "-".
func (a *app) readInput(name string) ([]byte, error) {
	if name == "-" {
		content, err := io.ReadAll(a.stdin)
		if err != nil {
			return nil, fmt.Errorf("read stdin: %w", err)
		}
		return content, nil
	}
	content, err := os.ReadFile(name) //nolint:gosec // reading the file that the user named is what is asked for
	if err != nil {
		return nil, fmt.Errorf("read input: %w", err)
	}
	return content, nil
}

// count returns a number of things in words: 1 endpoint, 2 endpoints.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
