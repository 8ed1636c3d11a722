package config

import (
	"fmt"
	"strings"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// extraColumns checks the names of the extra columns.
func (c *checker) extraColumns(m *outbox.Mapping) {
	if len(m.Extra) > outbox.MaxExtra {
		c.fail("outbox.columns.extra", "Too many extra columns", "Name at most %d.", outbox.MaxExtra)
	}
	for _, name := range sortedKeys(m.Extra) {
		one := outbox.Mapping{Table: m.Table, Extra: map[string]string{name: m.Extra[name]}}
		if err := one.CheckExtra(); err != nil {
			c.fail("outbox.columns.extra."+name, "Invalid extra column", "%s.", sentence(strings.TrimPrefix(err.Error(), "outbox table "+m.Table+": ")))
		}
	}
}

// CheckExtras reports extra columns that an endpoint's expressions name and that events of o have
// not. The fields of its diagnostics are those of ValidateEndpoint.
func CheckExtras(e *Endpoint, o Outbox) Diagnostics {
	var diags Diagnostics
	check := checker{config: &Config{Outbox: o}, report: func(p problem) {
		diags = append(diags, Diagnostic{Severity: SeverityError, Field: p.field.name, Summary: p.summary, Detail: p.detail})
	}}
	a, _ := e.address()
	check.extras(e, a)
	return diags
}

// extras checks the expressions of an endpoint. Its address is nil where its URL is wrong.
func (c *checker) extras(e *Endpoint, a *Address) {
	if a != nil {
		for _, use := range a.extras {
			c.known(use.setting, use.names)
		}
	}
	for i := range e.Subscriptions {
		c.known(fmt.Sprintf("subscription[%d].where", i), e.Subscriptions[i].Where.Extras())
		c.known(fmt.Sprintf("subscription[%d].body", i), e.Subscriptions[i].Body.Extras())
	}
}

// known reports names of extra columns that there are none of. What messages carry nobody knows.
func (c *checker) known(name string, extras []string) {
	if c.config.Outbox.Messages != "" {
		return
	}
	there := c.config.Outbox.Mapping.Extra
	for _, extra := range extras {
		switch _, ok := there[extra]; {
		case ok:
		case len(there) == 0:
			c.fail(name, "Unknown extra column", "outbox.columns names no extra columns: add extra = { %s = \"…\" } to them.", extra)
		default:
			c.fail(name, "Unknown extra column", "outbox.columns.extra has %s, no %q.%s", diag.List(sortedKeys(there), "and"), extra, suggest.DidYouMean(extra, sortedKeys(there)))
		}
	}
}
