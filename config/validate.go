package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// global stands for the endpoint of settings that belong to none.
const global = -1

// field names a setting.
type field struct {
	endpoint int    // index of the endpoint, or global
	name     string // for example timeout, retry.schedule[2], database.url; empty: the block itself
}

// text returns the name for people: database.url, endpoint.erp.timeout.
func (f field) text(c *Config) string {
	if f.endpoint == global {
		return f.name
	}
	return strings.TrimSuffix("endpoint."+c.Endpoints[f.endpoint].ID+"."+f.name, ".")
}

// problem is a broken rule.
type problem struct {
	field   field
	summary string
	detail  string // never quotes a value: it may come from the environment
}

// checker checks the rules of a configuration whose defaults are filled in.
type checker struct {
	config   *Config
	report   func(problem)
	endpoint int             // the one that is being checked, or global
	tenant   bool            // it is a customer's, who learns nothing of the operator's
	guard    *receiver.Guard // of the network, made when it is first needed

	addressed *Address // of the endpoint; nil: its URL is wrong
}

func (c *checker) fail(name, summary, detail string, args ...any) {
	c.report(problem{field{c.endpoint, name}, summary, fmt.Sprintf(detail, args...)})
}

// oneOf reports a value that is none of the allowed ones.
func oneOf[S ~string](c *checker, name string, got S, allowed ...S) {
	if slices.Contains(allowed, got) {
		return
	}
	words := make([]string, 0, len(allowed))
	for _, a := range allowed {
		words = append(words, string(a))
	}
	c.fail(name, "Unknown "+strings.ReplaceAll(name, ".", " "), "Write %s.%s", diag.List(words, "or"), suggest.DidYouMean(string(got), words))
}

// within reports a duration that is out of bounds.
func (c *checker) within(name string, got, least, most time.Duration) {
	if got < least || got > most {
		c.fail(name, "Duration out of range", "Write a duration from %s to %s.", least, most)
	}
}

func (c *checker) all() {
	c.database()
	c.outbox()
	c.network()
	checkVersions(c)
	checkCatalogue(c)
	checkSealing(c)
	checkFanout(c)
	checkAPI(c)
	checkPanel(c)
	checkMetrics(c)
	oneOf(c, "log.level", c.config.Log.Level, "trace", "debug", "info", "warn", "error")
	oneOf(c, "log.format", c.config.Log.Format, "json", "console")
	if len(c.config.Endpoints) == 0 && !c.config.API.Enabled() {
		c.fail("endpoint", "Missing endpoint", "Declare at least one, or an api block to make them by: endpoint \"name\" { url = \"https://…\" secret = env(\"…\") }.")
	}
	first := make(map[string]int, len(c.config.Endpoints))
	for i := range c.config.Endpoints {
		c.endpoint = i
		c.one(&c.config.Endpoints[i], first)
		c.extras(&c.config.Endpoints[i], c.addressed)
	}
	c.endpoint = global
}

func (c *checker) database() {
	db := &c.config.Database
	if db.URL.IsZero() {
		c.fail("database.url", "Missing database URL", "Set database.url, for example to env(\"DATABASE_URL\").")
	} else {
		c.connection("database.url", db.URL)
	}
	if !db.ReplicationURL.IsZero() {
		c.connection("database.replication_url", db.ReplicationURL)
	}
	plain := func(r rune) bool { return (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') || r == '_' }
	if len(db.Slot) > maxSlot || strings.ContainsFunc(db.Slot, func(r rune) bool { return !plain(r) }) {
		c.fail("database.slot", "Invalid slot name", "Write 1 to 54 lower case letters, digits and underscores: the endpoint table's publication is called SLOT_endpoint.")
	}
}

func (c *checker) connection(name string, s Secret) {
	text := s.Reveal()
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") && (!strings.Contains(text, "=") || strings.Contains(text, "://")) {
		c.fail(name, "Invalid database URL", "Write postgres://user:password@host:5432/database, with special characters percent-encoded, or keywords such as host=… dbname=….")
		return
	}
	if _, err := pglink.ParseConfig(text); err != nil { // it quotes nothing but names of parameters and files
		c.fail(name, "Invalid database URL", "%s.", sentence(strings.TrimPrefix(err.Error(), "database URL: ")))
	}
}

func (c *checker) outbox() {
	o := &c.config.Outbox
	m := &o.Mapping
	schema, table, ok := strings.Cut(m.Table, ".")
	switch {
	case m.Table == "":
		if o.Messages == "" {
			c.fail("outbox.table", "Missing outbox table", "Name the table, such as public.outbox, or set messages to take events from logical messages.")
		} else {
			c.tableless()
		}
	case !ok || schema == "" || table == "":
		c.fail("outbox.table", "Invalid table name", "Write it with its schema, such as public.outbox.")
	default:
		for _, column := range []struct{ name, value string }{{"id", m.ID}, {"type", m.Type}, {"payload", m.Payload}} {
			if column.value == "" {
				c.fail("outbox.columns."+column.name, "Missing column", "Name the column that holds the event's %s.", column.name)
			}
		}
	}
	c.extraColumns(m)
	c.known("outbox.search", o.Search.Extras())
	if _, err := m.Location(); err != nil {
		c.fail("outbox.time_zone", "Unknown time zone", "Write a name such as \"Europe/Berlin\" or \"UTC\".")
	}
	if o.Messages == defaultSlot {
		c.fail("outbox.messages", "Reserved prefix", "Use another prefix: %q carries Tailpost's own events.", defaultSlot)
	}
	if len(o.Messages) > 63 || strings.ContainsAny(o.Messages, " \t\r\n\x00") {
		c.fail("outbox.messages", "Invalid prefix", "Write at most 63 characters without white space.")
	}
	if o.Retention < 0 || (o.Retention > 0 && o.Retention < time.Minute) {
		c.fail("outbox.retention", "Duration out of range", "Write at least \"1m\", or \"forever\".")
	}
	c.retention()
}

// tableless reports settings of a table where events come from logical messages alone.
func (c *checker) tableless() {
	o := &c.config.Outbox
	for _, setting := range []struct {
		name string
		set  bool
	}{
		{"start", o.Start != (Start{})}, {"retention", o.Retention > 0}, {"time_zone", o.Mapping.TimeZone != ""},
	} {
		if setting.set {
			c.fail("outbox."+setting.name, "No outbox table", "It applies to an outbox table, and here events come from logical messages alone: name the table, or leave %s out.", setting.name)
		}
	}
}

// retention checks what is kept for how long, and the audit that depends on it.
func (c *checker) retention() {
	o := &c.config.Outbox
	if o.AuditInterval > 0 && o.AuditInterval < time.Second {
		c.fail("outbox.audit_interval", "Duration out of range", "Write at least \"1s\", or \"off\".")
	}
	// A day is the size of a partition, and what has just been recorded must be there for the
	// audit.
	const least = 48 * time.Hour
	r := &c.config.Retention
	for _, kept := range []struct {
		name  string
		value time.Duration
	}{{"attempts", r.Attempts}, {"dead", r.Dead}, {"stats", r.Stats}} {
		if kept.value > 0 && kept.value < least {
			c.fail("retention."+kept.name, "Duration out of range", "Write at least %q, or \"forever\".", "48h")
		}
	}
	if r.Attempts >= least && o.AuditInterval > r.Attempts/2 {
		c.fail("outbox.audit_interval", "Duration out of range", "Write at most half of retention.attempts: the audit relies on the attempts.")
	}
}

// allowed reports networks that are none, which only Go code can make.
func (c *checker) allowed(name string, networks []netip.Prefix) {
	for i, prefix := range networks {
		if !prefix.IsValid() {
			c.fail(fmt.Sprintf("%s[%d]", name, i), "Invalid network", "Write an address or a network, such as 10.1.0.0/16.")
		}
	}
}

func (c *checker) network() {
	c.allowed("network.allow", c.config.Network.Allow)
	n := &c.config.Network
	if n.Proxy.IsZero() {
		if n.ProxyResolves {
			c.fail("network.proxy_resolves", "Nothing without a proxy", "Set network.proxy too, or leave this out.")
		}
		if len(n.NoProxy) > 0 {
			c.fail("network.no_proxy", "Nothing without a proxy", "Set network.proxy too, or leave this out.")
		}
	} else if _, err := receiver.ParseProxy(n.Proxy.Reveal()); err != nil {
		c.fail("network.proxy", "Invalid proxy URL", "%s.", sentence(err.Error()))
	}
	for i, entry := range n.NoProxy {
		if _, err := receiver.ParseBypass([]string{entry}); err != nil {
			c.fail(fmt.Sprintf("network.no_proxy[%d]", i), "Invalid receiver", "%s.", sentence(err.Error()))
		}
	}
	checkAuthorities(c, "network.ca", n.CA)
}
