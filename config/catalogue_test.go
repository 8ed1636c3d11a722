package config_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// described parses a configuration whose catalogue has these files, and nothing else there is.
func described(t *testing.T, validate string, files map[string]string) (*config.Config, config.Diagnostics) {
	t.Helper()
	names := `"`
	for name := range files {
		names += name + `", "`
	}
	names = names[:max(len(names)-3, 0)]
	return config.Parse(map[string][]byte{"etc/test.hcl": []byte(`database { url = env("DATABASE_URL") }` + anEndpoint +
		"catalogue {\n files = [" + names + "]\n validate = \"" + validate + "\"\n}\n")}, config.Options{
		Getenv: getenv,
		ReadFile: func(path string) ([]byte, error) {
			for name, text := range files {
				if path == "etc/"+name {
					return []byte(text), nil
				}
			}
			return nil, fs.ErrNotExist
		},
	})
}

func TestTheCatalogueHoldsPayloadsAgainstTheirSchemas(t *testing.T) {
	t.Parallel()
	cfg, diags := described(t, "warn", map[string]string{"order.paid.json": `{"required": ["id"], "examples": [{"id": 1}]}`})
	require.Empty(t, diags)
	require.Equal(t, config.ValidateWarn, cfg.Catalogue.Validate)
	require.NoError(t, cfg.Catalogue.Check("order.paid", []byte(`{"id": 1}`)))
	require.ErrorContains(t, cfg.Catalogue.Check("order.paid", []byte(`{}`)), "missing property 'id'")
	require.NoError(t, cfg.Catalogue.Check("order.sent", []byte(`{}`)))
	again, _ := described(t, "warn", map[string]string{"order.paid.json": `{"required": ["id"], "examples": [{"id": 1}]}`})
	require.True(t, cfg.Catalogue.Equal(&again.Catalogue))
	other, _ := described(t, "warn", map[string]string{"order.paid.json": `{"required": ["total"], "examples": [{"id": 1}]}`})
	require.False(t, cfg.Catalogue.Equal(&other.Catalogue))
	off, _ := described(t, "off", map[string]string{"order.paid.json": `{"required": ["id"], "examples": [{"id": 1}]}`})
	require.False(t, cfg.Catalogue.Equal(&off.Catalogue))
}

// Whether payloads are validated or not: what is wrong is said with file and place, at the list
// that names the file.
func TestABrokenSchemaIsAnErrorOfTheConfiguration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"order.paid.json", `{"properties": {"a": {"pattern": "(?=a)"}}}`, "Invalid schema: etc/order.paid.json#: "},
		{"order.paid.json", `{"$ref": "https://evil.example/"}`, "nothing is fetched"},
		{"order..paid.json", `{}`, "Invalid event type"},
		{"order.*.json", `{}`, "not a pattern"},
		{"webhook.failed.json", `{}`, "Tailpost's own events"},
		{"openapi.yaml", "openapi: 3.0.0", "etc/openapi.yaml#/openapi: write OpenAPI 3.1"},
	} {
		cfg, diags := described(t, "off", map[string]string{c.name: c.text})
		require.Nil(t, cfg, c.text)
		require.ErrorContains(t, diags, c.want)
		require.Equal(t, "etc/test.hcl", diags[0].File)
		require.Positive(t, diags[0].Line)
	}
	_, diags := described(t, "off", map[string]string{"order.paid.json": "{}", "order.paid.yaml": "type: object"})
	require.ErrorContains(t, diags, "Repeated event type")
	_, diags = parse(t, `database { url = env("DATABASE_URL") }`+anEndpoint+`catalogue { validate = "dead" }`)
	require.ErrorContains(t, diags, "Nothing to validate by")
}
