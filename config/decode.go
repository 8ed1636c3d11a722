package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// defaults stands for the endpoint of settings in the defaults block.
const defaults = -2

// decoder gathers a Config from files, and where each setting stands.
type decoder struct {
	opts     Options
	config   Config
	readOnly []string // the blocks that are read; nil: all
	base     Endpoint // what the defaults block says
	sources  map[string]*diag.Source
	blocks   map[string]hcl.Range // first place of each block that occurs once
	places   map[int]map[string]hcl.Range
	spoiled  map[field]bool // reported already; the rules have nothing to add
	diags    Diagnostics
}

func newDecoder(opts Options) *decoder {
	return &decoder{
		opts: opts, sources: make(map[string]*diag.Source), blocks: make(map[string]hcl.Range),
		places:  map[int]map[string]hcl.Range{global: {}, defaults: {}},
		spoiled: make(map[field]bool),
	}
}

func (d *decoder) place(endpoint int, name string, at hcl.Range) {
	d.places[endpoint][name] = at
}

func (d *decoder) spoil(endpoint int, name string) {
	d.spoiled[field{endpoint, name}] = true
}

// problem turns a broken rule into a diagnostic of the place that broke it, or of what is around
// it.
func (d *decoder) problem(severity Severity, p problem, firstFile string) {
	broken := Diagnostic{Severity: severity, File: firstFile, Line: 1, Column: 1}
	for name := p.field.name; ; name = parent(name) {
		if d.spoiled[field{p.field.endpoint, name}] {
			return
		}
		if at, ok := d.places[p.field.endpoint][name]; ok {
			broken = d.sources[at.Filename].Diagnose(severity, at, "", "")
			break
		}
		if name == "" {
			break
		}
	}
	broken.Field, broken.Summary, broken.Detail = p.field.text(&d.config), p.summary, p.detail
	d.diags = append(d.diags, broken)
}

// warn adds warnings of what is valid, and hardly meant.
func (d *decoder) warn(all []problem, firstFile string) {
	for _, p := range all {
		d.problem(SeverityWarning, p, firstFile)
	}
}

// parent returns the name of the setting that holds another: a list that of an element, a block
// that of an attribute.
func parent(name string) string {
	if i := strings.LastIndexAny(name, ".["); i >= 0 {
		return name[:i]
	}
	return ""
}

// file decodes the defaults block of a file, or all the others.
func (d *decoder) file(src *diag.Source, body *hclsyntax.Body, defaultsOnly bool) {
	top := &section{
		d: d, src: src, body: body, endpoint: global, what: "a configuration file",
		functions: environment(d.opts, filepath.Dir(src.Name())),
	}
	if !defaultsOnly {
		top.check(nil, []string{"database", "outbox", "attempts", "retention", "defaults", "endpoint", "version", "catalogue", "network", "secrets", "fanout", "api", "panel", "metrics", "log"})
	}
	if !defaultsOnly {
		d.config.Endpoints = slices.Grow(d.config.Endpoints, len(blocksOf(body, "endpoint")))
	}
	for i, b := range body.Blocks {
		if (b.Type == "defaults") != defaultsOnly || d.readOnly != nil && !slices.Contains(d.readOnly, b.Type) {
			continue
		}
		if b.Type == "endpoint" {
			d.endpoint(top, b)
			body.Blocks[i] = nil // of many endpoints, the blocks are most of what is in memory
			continue
		}
		if b.Type == "version" {
			d.version(top, b)
			continue
		}
		d.block(top, b)
	}
}

// block decodes a block that occurs once.
func (d *decoder) block(top *section, b *hclsyntax.Block) {
	if first, twice := d.blocks[b.Type]; twice {
		top.fail(b.DefRange(), "Repeated block", "Another %s block stands at %s:%d. Merge the two.",
			b.Type, first.Filename, first.Start.Line)
		return
	}
	d.blocks[b.Type] = b.DefRange()
	d.place(global, b.Type, b.DefRange())
	d.config.Blocks = append(d.config.Blocks, BlockOrigin{b.Type, Origin{File: top.src.Name(), Line: b.TypeRange.Start.Line}})
	s := top.nested(b, b.Type+".", "the "+b.Type+" block")
	switch b.Type {
	case "database":
		d.database(s)
	case "outbox":
		d.outbox(s)
	case "attempts":
		s.check([]string{"headers"}, nil)
		d.config.Attempts.Headers = s.flag("headers")
	case "retention":
		d.retention(s)
	case "catalogue":
		decodeCatalogue(d, s)
	case "network":
		d.network(s)
	case "secrets":
		decodeSealing(d, s)
	case "fanout":
		decodeFanout(d, s, b)
	case "log":
		d.log(s)
	case "defaults":
		s.endpoint, s.prefix = defaults, ""
		s.check(policyAttributes(), policyBlocks())
		d.policy(s, &d.base)
	case "api":
		decodeAPI(d, s)
	case "panel":
		decodePanel(d, s)
	case "metrics":
		decodeMetrics(d, s)
	}
}

func (d *decoder) database(s *section) {
	s.check([]string{"url", "replication_url", "slot"}, nil)
	db := &d.config.Database
	db.URL = s.secret("url", hasPassword)
	db.ReplicationURL = s.secret("replication_url", hasPassword)
	db.Slot, _ = s.text("slot")
}

// hasPassword reports whether a connection string holds a password.
func hasPassword(text string) bool {
	if strings.Contains(strings.ToLower(text), "password") {
		return true
	}
	u, err := url.Parse(text)
	if err != nil {
		return strings.Contains(text, "@")
	}
	_, has := u.User.Password()
	return has
}

func (d *decoder) outbox(s *section) {
	s.check([]string{"table", "columns", "messages", "start", "retention", "audit_interval", "time_zone", "search"}, nil)
	o := &d.config.Outbox
	o.Messages, _ = s.text("messages")
	table, named := s.text("table")
	if _, mapped := s.body.Attributes["columns"]; named || mapped || o.Messages == "" {
		o.Mapping = unnamedColumns()
	}
	if named {
		if !strings.Contains(table, ".") {
			table = "public." + table
		}
		o.Mapping.Table = table
	}
	d.columns(s, &o.Mapping)
	o.Mapping.TimeZone, _ = s.text("time_zone")
	if text, ok := s.text("start"); ok {
		o.Start = s.start(text)
	}
	if text, ok := s.text("retention"); ok && text != "forever" {
		o.Retention, _ = s.duration("retention")
	}
	o.AuditInterval = s.durationOr("audit_interval", "off")
	if expr, text := s.expression("search"); expr != nil {
		search, diags := filter.CompileSearchSyntax(s.src, expr, text)
		o.Search = search
		d.diags = append(d.diags, diags...)
	}
}

// retention decodes the retention block.
func (d *decoder) retention(s *section) {
	s.check([]string{"attempts", "dead", "stats"}, nil)
	r := &d.config.Retention
	r.Attempts = s.durationOr("attempts", "forever")
	r.Dead = s.durationOr("dead", "forever")
	r.Stats = s.durationOr("stats", "forever")
}

// durationOr returns a duration, or a negative one for a word that stands for none.
func (s *section) durationOr(name, never string) time.Duration {
	text, ok := s.text(name)
	switch {
	case !ok:
		return 0
	case text == never:
		return -1
	}
	v, _ := s.duration(name)
	return v
}

// start reads outbox.start.
func (s *section) start(text string) Start {
	switch text {
	case "now":
		return Start{}
	case "beginning":
		return Start{Beginning: true}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		s.wrong("start", s.body.Attributes["start"].Expr.Range(), "Invalid start",
			`Write "now", "beginning", or a time such as "2026-01-31T00:00:00Z".%s`, suggest.DidYouMean(text, []string{"now", "beginning"}))
	}
	return Start{At: t}
}

func (d *decoder) network(s *section) {
	s.check([]string{"allow", "allow_http", "proxy", "proxy_resolves", "no_proxy", "ca"}, nil)
	n := &d.config.Network
	n.AllowHTTP = s.flag("allow_http")
	n.Proxy = s.secret("proxy", func(text string) bool { return strings.Contains(text, "@") })
	n.Allow = s.networks("allow")
	n.ProxyResolves = s.flag("proxy_resolves")
	if receivers, ok := s.texts("no_proxy"); ok && len(receivers) > 0 {
		n.NoProxy = receivers
	}
	n.CA, _ = s.text("ca")
}

// networks gets a list of networks.
func (s *section) networks(name string) []netip.Prefix {
	texts, _ := s.texts(name)
	var found []netip.Prefix
	for i, text := range texts {
		prefix, err := parsePrefix(text)
		if err == nil {
			found = append(found, prefix)
			continue
		}
		at, ok := s.d.places[s.endpoint][fmt.Sprintf("%s%s[%d]", s.prefix, name, i)]
		if !ok {
			at = s.body.Attributes[name].Expr.Range()
		}
		s.fail(at, "Invalid network", "Write an address or a network, such as 10.1.2.3 or 10.1.0.0/16.")
	}
	return found
}

// parsePrefix reads a network, or an address as a network of one.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("parse network: %w", err)
	}
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}

func (d *decoder) log(s *section) {
	s.check([]string{"level", "format"}, nil)
	d.config.Log.Level, _ = s.text("level")
	d.config.Log.Format, _ = s.text("format")
}

// endpointPlaces starts the places of an endpoint with those of the defaults block, which its own
// then replace.
func (d *decoder) endpointPlaces(index int, at hcl.Range) {
	d.places[index] = maps.Clone(d.places[defaults])
	d.place(index, "", at)
	for f := range d.spoiled {
		if f.endpoint == defaults {
			d.spoil(index, f.name)
		}
	}
}

// extraColumns is the member of columns that names further ones.
const extraColumns = "extra"

// columns lays the named columns over those of the default table, of which the table may lack all
// but the required ones. A null or empty one is a column that there is none of.
func (d *decoder) columns(s *section, m *outbox.Mapping) {
	attr := s.body.Attributes["columns"]
	if attr == nil || s.secretNames("columns", attr.Expr) {
		return
	}
	v, _, ok := s.value("columns", cty.DynamicPseudoType)
	if !ok {
		return
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		s.wrong("columns", attr.Expr.Range(), "Wrong kind of value", "Write %s.", kindName(cty.Map(cty.String)))
		return
	}
	if object, isObject := filter.Unwrap(attr.Expr).(*hclsyntax.ObjectConsExpr); isObject {
		s.placeMembers("columns", object)
	}
	columns := map[string]*string{
		"id": &m.ID, "type": &m.Type, "key": &m.Key, "tenant": &m.Tenant, "payload": &m.Payload, "headers": &m.Headers,
		"created_at": &m.CreatedAt, "deliver_at": &m.DeliverAt, "expires_at": &m.ExpiresAt,
	}
	optional := map[string]*bool{
		"key": &m.Optional.Key, "tenant": &m.Optional.Tenant, "headers": &m.Optional.Headers, "created_at": &m.Optional.CreatedAt,
	}
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		name := key.AsString()
		if o := optional[name]; o != nil {
			*o = false
		}
		column, known := columns[name]
		switch {
		case name == extraColumns:
			m.Extra = s.extra(value)
		case !known:
			names := append(sortedKeys(columns), extraColumns)
			s.fail(s.columnAt(name), "Unknown column", "An event has %s, no %q.%s", diag.List(names, "and"), name, suggest.DidYouMean(name, names))
		default:
			*column = s.column(name, value)
		}
	}
}

// columnAt returns where a column is named.
func (s *section) columnAt(name string) hcl.Range {
	if at, placed := s.d.places[s.endpoint]["outbox.columns."+name]; placed {
		return at
	}
	return s.body.Attributes["columns"].Expr.Range()
}

// column returns the name of a column; empty: there is none.
func (s *section) column(name string, v cty.Value) string {
	text, err := convert.Convert(v, cty.String)
	if err != nil {
		s.wrong("columns."+name, s.columnAt(name), "Wrong kind of value", "Write the name of the column, such as \"%s\".", name)
		return ""
	}
	if text.IsNull() {
		return ""
	}
	return text.AsString()
}

// extra returns the further columns by the names that events have them by.
func (s *section) extra(v cty.Value) map[string]string {
	if v.IsNull() {
		return nil
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		s.wrong("columns.extra", s.columnAt(extraColumns), "Wrong kind of value", `Write an object of names and columns, such as { region = "region" }.`)
		return nil
	}
	extra := make(map[string]string)
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if value.IsNull() {
			continue // there is none
		}
		extra[key.AsString()] = s.column("extra."+key.AsString(), value)
	}
	if len(extra) == 0 {
		return nil
	}
	return extra
}
