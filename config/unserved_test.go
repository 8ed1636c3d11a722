package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// TestWhatMessagesMayHaveIsNoReasonToWarn: a message has tenant and key whatever the table has.
func TestWhatMessagesMayHaveIsNoReasonToWarn(t *testing.T) {
	t.Parallel()
	const ends = `
		database { url = env("DATABASE_URL") }
		endpoint "a" {
			url = "https://a.example.com"
			secret = env("ERP_SECRET")
			tenant = "acme"
			ordering = "key"
		}`
	for outbox, warnings := range map[string]int{
		"outbox { columns = { tenant = null, key = null } }":         2,
		"outbox { columns = { tenant = null } }":                     1,
		"outbox { columns = { tenant = \"account\", key = \"k\" } }": 0,
		"outbox { messages = \"app\" }":                              0,
		"":                                                           0,
		"outbox {\n table = \"public.outbox\"\n messages = \"app\"\n columns = { tenant = null, key = null }\n}": 0,
	} {
		cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte(outbox + ends)}, options())
		require.NotNil(t, cfg, "%s: %v", outbox, diags)
		require.Len(t, diags, warnings, outbox)
	}
}
