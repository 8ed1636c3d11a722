package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// place is a block of a configuration, as a text around what stands in it.
type place struct {
	heading       string // of docs/configuration.md
	before, after string
}

// places lists every block but defaults, by the names that lead to it.
func places() map[string]place {
	const endpoint = "endpoint \"erp\" {\n url = \"https://erp.example.com/\"\n secret = env(\"ERP_SECRET\")\n"
	return map[string]place{
		"":                               {},
		"catalogue":                      {"catalogue", "catalogue {\n", "}\n"},
		"version":                        {"version", "version \"2026-09-20\" {\n", "}\nversion \"2025-01-01\" {}\n"},
		"version.event":                  {"event", "version \"2026-09-20\" {\nevent \"order.*\" {\n", "}\n}\nversion \"2025-01-01\" {}\n"},
		"database":                       {"database", "database {\n", "}\n"},
		"outbox":                         {"outbox", "outbox {\n", "}\n"},
		"attempts":                       {heading: "attempts", before: "attempts {\n", after: "}\n"},
		"retention":                      {"retention", "retention {\n", "}\n"},
		"network":                        {"network", "network {\n", "}\n"},
		"secrets":                        {"secrets", "secrets {\n", "}\n"},
		"metrics":                        {"metrics", "metrics {\n", "}\n"},
		"fanout":                         {"fanout", "fanout \"nats\" {\n", "}\n"},
		"log":                            {"log", "log {\n", "}\n"},
		"api":                            {"api", "api {\n", "}\n"},
		"api.key":                        {"key", "api {\nkey \"k\" {\n", "}\n}\n"},
		"api.tls":                        {"tls", "api {\ntls {\n", "}\n}\n"},
		"api.network":                    {"network of the API", "api {\nnetwork {\n", "}\n}\n"},
		"panel":                          {"panel", "panel {\n", "}\n"},
		"panel.portal":                   {"portal", "panel {\nportal {\n", "}\n}\n"},
		"api.quotas":                     {"quotas", "api {\nquotas {\n", "}\n}\n"},
		"endpoint":                       {"endpoint", endpoint, "}\n"},
		"endpoint.retry":                 {"retry", endpoint + "retry {\n", "}\n}\n"},
		"endpoint.circuit":               {"circuit", endpoint + "circuit {\n", "}\n}\n"},
		"endpoint.batch":                 {"batch", endpoint + "batch {\n", "}\n}\n"},
		"endpoint.auth":                  {"auth", endpoint + "auth {\n", "}\n}\n"},
		"endpoint.auth.basic":            {"basic", endpoint + "auth {\nbasic {\n", "}\n}\n}\n"},
		"endpoint.auth.oauth2":           {"oauth2", endpoint + "auth {\noauth2 {\n", "}\n}\n}\n"},
		"endpoint.auth.oauth2.assertion": {"assertion", endpoint + "auth {\noauth2 {\ntoken_url = \"https://login.example.com/\"\nclient_id = \"a\"\nassertion {\n", "}\n}\n}\n}\n"},
		"endpoint.tls":                   {"tls of an endpoint", endpoint + "tls {\n", "}\n}\n"},
		"endpoint.subscription":          {"subscription", endpoint + "subscription {\n", "}\n}\n"},
	}
}

// whole is a configuration with lines in the block.
func (p place) whole(lines string) string {
	text := p.before + lines + p.after
	if !strings.HasPrefix(text, "database {") {
		text += "database {\n url = env(\"DATABASE_URL\")\n}\n"
	} else if !strings.Contains(lines, "url ") || strings.Contains(lines, "replication_url ") {
		text = strings.Replace(text, "database {\n", "database {\n url = env(\"DATABASE_URL\")\n", 1)
	}
	if !strings.HasPrefix(text, "endpoint") {
		text += "endpoint \"erp\" {\n url = \"https://erp.example.com/\"\n secret = env(\"ERP_SECRET\")\n}\n"
	}
	return text
}

// has asks the decoder what may stand in a block: of an unknown name it says what there is.
func (p place) has(t *testing.T) []string {
	t.Helper()
	const unknown = "zzzzzzzzzzzz"
	_, diags := parse(t, p.whole(unknown+" {\n}\n"))
	for _, d := range diags {
		list := regexp.MustCompile(`There is no "` + unknown + `" in .*\. It has (.*)\.$`).FindStringSubmatch(d.Detail)
		if list == nil {
			continue
		}
		return regexp.MustCompile(`, and |, | and `).Split(strings.ReplaceAll(list[1], `"`, ""), -1)
	}
	require.Fail(t, "the decoder does not say what there is", "%s: %s", p.heading, diags)
	return nil
}

// isBlock reports whether a name is that of a block.
func (p place) isBlock(t *testing.T, name string) bool {
	t.Helper()
	_, diags := parse(t, p.whole(name+" = 1\n"))
	return slices.ContainsFunc(diags, func(d config.Diagnostic) bool { return d.Summary == "Block written as an attribute" })
}

// reference reads the tables of docs/configuration.md: by heading the attributes with their
// defaults.
func reference(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	require.NoError(t, err)
	tables, heading := make(map[string]map[string]string), ""
	row := regexp.MustCompile("^\\| `([a-z_]+)` \\| (.*?) \\| ")
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "##") {
			heading = strings.TrimSpace(title)
			tables[heading] = make(map[string]string)
		}
		if match := row.FindStringSubmatch(line); match != nil {
			require.NotContains(t, tables[heading], match[1], "twice in %s", heading)
			tables[heading][match[1]] = match[2]
		}
	}
	return tables
}

// TestTheReferenceHasEveryName walks the decoder from block to block.
func TestTheReferenceHasEveryName(t *testing.T) {
	t.Parallel()
	tables, known := reference(t), places()
	columns := []string{"id", "type", "key", "tenant", "payload", "headers", "created_at", "deliver_at", "expires_at", "extra"}
	for _, path := range slices.Sorted(maps.Keys(known)) {
		p := known[path]
		var attributes []string
		for _, name := range p.has(t) {
			if !p.isBlock(t, name) {
				attributes = append(attributes, name)
				continue
			}
			inner := strings.TrimPrefix(path+"."+name, ".")
			if inner == "defaults" {
				require.Contains(t, tables, inner)
				continue
			}
			require.Contains(t, known, inner, "a block that neither this test nor the reference knows")
			require.Contains(t, tables, known[inner].heading)
		}
		if path == "" {
			require.Empty(t, attributes)
			continue
		}
		if path == "outbox" {
			attributes = append(attributes, columns...)
		}
		require.ElementsMatch(t, attributes, slices.Collect(maps.Keys(tables[p.heading])), "docs/configuration.md, %s", p.heading)
	}
}

// TestTheDefaultsOfTheReferenceAreTheDefaults writes each default out, which changes nothing.
func TestTheDefaultsOfTheReferenceAreTheDefaults(t *testing.T) {
	t.Parallel()
	literal := regexp.MustCompile("^`(.*)`$")
	tables, tried, key := reference(t), 0, keyFile(t)
	for path, p := range places() {
		for name, text := range tables[p.heading] {
			match := literal.FindStringSubmatch(text)
			if match == nil || match[1] == "url" { // that of replication_url is another attribute
				continue
			}
			// The others of a block that has to be complete.
			beside := map[string]string{
				"fanout":                         " url = \"nats://127.0.0.1:4222\"\n",
				"api.key":                        " secret = env(\"SEAL_KEY\")\n",
				"endpoint.auth.oauth2.assertion": " key = file(\"" + key + "\")\n",
				"endpoint.auth.oauth2":           " token_url = \"https://login.example.com/\"\n client_id = \"a\"\n client_secret = env(\"ERP_SECRET\")\n",
			}[path]
			line := " " + name + " = " + match[1] + "\n"
			if path == "outbox" && slices.Contains([]string{"id", "type", "key", "tenant", "payload", "headers", "created_at", "deliver_at", "expires_at"}, name) {
				// A column that is named has to be there, so only the required ones change nothing.
				if name != "id" && name != "type" && name != "payload" {
					continue
				}
				line = " columns = { " + name + " = " + match[1] + " }\n"
			}
			without, diags := parse(t, p.whole(beside+"\n")) // as long: a config knows where an endpoint stands
			require.Empty(t, diags, path)
			with, diags := parse(t, p.whole(beside+line))
			require.Empty(t, diags, "%s.%s", path, name)
			require.Equal(t, without, with, "the default of %s.%s is not %s", path, name, match[1])
			tried++
		}
	}
	require.Greater(t, tried, 25)
}

// TestTheReferenceNamesEveryFunction asks the compiler what functions filters have.
func TestTheReferenceNamesEveryFunction(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	require.NoError(t, err)
	_, diags := parse(t, places()["endpoint.subscription"].whole("where = zzzz(1)\n"))
	require.Len(t, diags, 1)
	list := regexp.MustCompile(`^Filters and bodies have (.*)\.$`).FindStringSubmatch(diags[0].Detail)
	require.NotNil(t, list, diags[0].Detail)
	for name := range strings.SplitSeq(list[1], ", ") {
		require.Contains(t, string(text), "`"+name+"(")
	}
}
