package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/suggest"
)

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
