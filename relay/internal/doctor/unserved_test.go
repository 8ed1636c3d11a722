package doctor_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// TestEndpointsWithoutTheirColumnAreNamed: an optional column that is gone is no failure, but an
// endpoint that asks for what it held says that somebody counts on it.
func TestEndpointsWithoutTheirColumnAreNamed(t *testing.T) {
	t.Parallel()
	const rows = `INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, disabled_reason, source, created_at, updated_at) VALUES
		('ep_1', 'acme', 'a', 'https://a.example', '[]', '{"ordering": "key"}', 'paused', NULL, 'api', now(), now()),
		('ep_2', 'else', 'b', 'https://b.example', '[]', '{"ordering": "key"}', 'disabled', 'removed from the configuration', 'config', now(), now()),
		('erp', 'acme', 'erp', 'https://b.example', '[]', '{"ordering": "key"}', 'active', NULL, 'config', now(), now());`
	const tenants, orders = "table public.outbox has no column for the tenant of events", "table public.outbox has no column for the key of events"
	for name, is := range map[string]struct {
		sql      string
		endpoint config.Endpoint
		messages string
		mapping  func(m *outbox.Mapping)
		want     []string // beginnings and ends of what is found, before and behind a star
	}{
		"of the API":                     {sql: rows + "ALTER TABLE outbox RENAME tenant TO tenant_id", want: []string{tenants + "*(2): they get nothing"}},
		"of the API, by key":             {sql: rows + "ALTER TABLE outbox RENAME key TO k", want: []string{orders + "*(2): nothing is kept in order"}},
		"of the configuration":           {sql: rows + "ALTER TABLE outbox RENAME key TO k", endpoint: config.Endpoint{ID: "erp"}, want: []string{orders + "*(1): nothing is kept in order"}},
		"of the configuration, by key":   {sql: "ALTER TABLE outbox RENAME key TO k", endpoint: config.Endpoint{ID: "erp", Ordering: config.OrderingKey}, want: []string{orders + "*(1): nothing is kept in order"}},
		"both":                           {sql: rows + "ALTER TABLE outbox DROP key, DROP tenant", want: []string{tenants + "*(2): they get nothing", orders + "*(2): nothing is kept in order"}},
		"that the mapping has not":       {sql: rows, mapping: func(m *outbox.Mapping) { m.Tenant = "" }, want: []string{tenants + "*(2): they get nothing"}},
		"before the schema is there":     {sql: "DROP SCHEMA tailpost CASCADE; ALTER TABLE outbox RENAME tenant TO t", endpoint: config.Endpoint{ID: "erp", Tenant: "a"}, want: []string{tenants + "*(1): they get nothing"}},
		"nobody asks":                    {sql: "ALTER TABLE outbox DROP key, DROP tenant"},
		"all is there":                   {sql: rows},
		"messages may have what rows do": {sql: rows + "ALTER TABLE outbox DROP key, DROP tenant", messages: "app"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.cfg.Outbox.Mapping.Optional = outbox.Optional{Key: true, Tenant: true}
			b.cfg.Outbox.Messages = is.messages
			if is.mapping != nil {
				is.mapping(&b.cfg.Outbox.Mapping)
			}
			if is.endpoint.ID != "" {
				b.cfg.Endpoints = []config.Endpoint{is.endpoint}
			}
			b.exec(t, is.sql)
			var found []string
			for _, f := range b.examine(t) {
				if f.Check == "table" && f.Grade != doctor.OK {
					require.Equal(t, doctor.Warning, f.Grade, f.Detail)
					require.Contains(t, f.Fix, "in outbox.columns")
					found = append(found, f.Detail)
				}
			}
			require.Len(t, found, len(is.want), "%q", found)
			for i, want := range is.want {
				begin, end, _ := strings.Cut(want, "*")
				require.True(t, strings.HasPrefix(found[i], begin) && strings.HasSuffix(found[i], end), found[i])
			}
		})
	}
}
