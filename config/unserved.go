package config

import (
	"slices"

	"github.com/tailpost/tailpost/outbox"
)

// Unserved names the settings of an endpoint that no row of an outbox table with this mapping
// meets: tenant where rows have none, so that it gets nothing, and ordering where they have no key.
func Unserved(e *Endpoint, m outbox.Mapping) (settings []string) {
	if e.Tenant != "" && m.Tenant == "" {
		settings = append(settings, "tenant")
	}
	if e.Ordering == OrderingKey && m.Key == "" {
		settings = append(settings, "ordering")
	}
	return settings
}

// FromTableAlone reports whether every event is a row of the outbox table. Messages bring a tenant
// and a key of their own.
func (o *Outbox) FromTableAlone() bool { return o.Mapping.Table != "" && o.Messages == "" }

// unserved returns a warning of each setting that the mapping leaves without effect.
func unserved(c *Config) (all []problem) {
	if !c.Outbox.FromTableAlone() {
		return nil
	}
	for i := range c.Endpoints {
		for _, setting := range Unserved(&c.Endpoints[i], c.Outbox.Mapping) {
			p := problem{
				field{i, setting},
				"Endpoint that matches no event",
				"outbox.columns says that events have no tenant. Name the column that has it, such as tenant = \"tenant_id\", or leave tenant out here.",
			}
			if setting == "ordering" {
				p.summary = "Order without keys"
				p.detail = "outbox.columns says that events have no key, so nothing is kept in order. Name the column that has it, such as key = \"order_id\", or leave ordering out here."
			}
			all = append(all, p)
		}
	}
	return slices.Clip(all)
}
