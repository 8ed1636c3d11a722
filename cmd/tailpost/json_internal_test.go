package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/json-fields.txt")

// schemasOfCommands are what the API calls the objects that commands print as they are.
func schemasOfCommands() map[string]string {
	return map[string]string{
		"attempts": "Attempt", "deliveries": "Delivery", "endpoints": "Endpoint", "events": "EventSummary", "events EVENT": "Event",
		"explain": "Explanation", "pause": "Endpoint", "resume": "Endpoint", "replay": "Replay", "replay cancel": "Replay", "replay list": "Replay",
		"replay missing": "MissingEvent", "replay watch": "Replay", "resend": "Resend", "resend one": "Selected", "resend cancel": "Resend",
		"resend list": "Resend", "resend watch": "Resend", "status": "Relay", "test": "Attempt",
	}
}

// A program that reads what a command prints goes on reading it with the next version: every field
// that is listed stays, with its type. New ones are promised from when -update lists them.
func TestJSONOfCommandsOnlyGrows(t *testing.T) {
	t.Parallel()
	fields := make(map[string]bool)
	for command, schema := range schemasOfCommands() {
		apiFields(t, fields, command, schema)
	}
	for command, of := range map[string]any{
		"check": checkResult{}, "discard": discardResult{}, "doctor": doctorResult{}, "heal": healResult{}, "listen": received{}, "plan": planResult{},
		"secret": secretResult{}, "trigger": triggerResult{}, "verify": verifyResult{}, "version": versionResult{},
	} {
		goFields(fields, command, "", reflect.TypeOf(of))
	}
	path := filepath.Join("testdata", "json-fields.txt")
	if *update {
		lines := slices.Sorted(maps.Keys(fields))
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	}
	listed, err := os.ReadFile(path)
	require.NoError(t, err)
	known := make(map[string]bool)
	for line := range strings.Lines(string(listed)) {
		line = strings.TrimSpace(line)
		known[line] = true
		require.True(t, fields[line], "%q was printed, and is not any more: a program may read it", line)
	}
	for line := range fields {
		if !known[line] {
			t.Logf("%q is new and not yet promised: go test ./cmd/tailpost -run TestJSONOfCommandsOnlyGrows -update", line)
		}
	}
}

// apiFields adds the fields of an object of the API, those of objects within it too.
func apiFields(t *testing.T, fields map[string]bool, command, schema string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "relay", "internal", "api", "openapi.json"))
	require.NoError(t, err)
	var document struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(raw, &document))
	require.Contains(t, document.Components.Schemas, schema)
	var add func(prefix string, of map[string]any, within []string)
	add = func(prefix string, of map[string]any, within []string) {
		if ref, ok := of["$ref"].(string); ok {
			name := ref[strings.LastIndex(ref, "/")+1:]
			if slices.Contains(within, name) {
				return
			}
			of, within = document.Components.Schemas[name], append(slices.Clone(within), name)
		}
		if items, ok := of["items"].(map[string]any); ok {
			add(prefix+"[]", items, within)
			return
		}
		properties, _ := of["properties"].(map[string]any)
		for name, property := range properties {
			inner, _ := property.(map[string]any)
			add(strings.TrimPrefix(prefix+"."+name, "."), inner, within)
		}
		if len(properties) == 0 {
			fields[fmt.Sprintf("%s: %s %v", command, prefix, of["type"])] = true
		}
	}
	add("", document.Components.Schemas[schema], nil)
}

// goFields adds the fields of an object that a command makes itself.
func goFields(fields map[string]bool, command, prefix string, of reflect.Type) {
	switch {
	case of == reflect.TypeFor[time.Time]():
		fields[fmt.Sprintf("%s: %s string", command, prefix)] = true
	case of == reflect.TypeFor[json.RawMessage](), of.Kind() == reflect.Map:
		fields[fmt.Sprintf("%s: %s any", command, prefix)] = true
	case of.Kind() == reflect.Slice:
		goFields(fields, command, prefix+"[]", of.Elem())
	case of.Kind() == reflect.Struct:
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				goFields(fields, command, prefix, field.Type)
			} else if name != "" && name != "-" {
				goFields(fields, command, strings.TrimPrefix(prefix+"."+name, "."), field.Type)
			}
		}
	default:
		kind := map[reflect.Kind]string{reflect.Int: "integer", reflect.Int64: "integer", reflect.Bool: "boolean"}[of.Kind()]
		if kind == "" {
			kind = of.Kind().String()
		}
		fields[fmt.Sprintf("%s: %s %s", command, prefix, kind)] = true
	}
}

// Every command with --json has its place in the contract.
func TestEveryCommandWithJSONIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli-json.md"))
	require.NoError(t, err)
	var headings []string
	for line := range strings.Lines(string(page)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			headings = append(headings, strings.Split(strings.TrimSpace(heading), ", ")...)
		}
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("json") != nil {
			require.Contains(t, headings, strings.TrimPrefix(cmd.CommandPath(), "tailpost "))
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand(&app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}))
}
