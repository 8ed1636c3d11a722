package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/tailpost/tailpost/config/filter"
)

// Fingerprints are short hashes of what a configuration says beside its endpoints, so that another
// one can be compared with it. They depend on what is meant: neither layout and comments nor the
// order of the blocks count, and of expressions their canonical form does.
//
// Secrets have no part in them, except whether one is set. Nor has where a relay connects, listens
// and logs (database, metrics, log, listen and tls of api): each process has its own. A fan-out is
// one of a fleet, so the hosts of its servers have a part.
type Fingerprints struct {
	// Form is another number where the same configuration has other fingerprints than in an earlier
	// release: they cannot be compared.
	Form     int               `json:"form"`
	Versions map[string]string `json:"versions"` // by their names; empty: a version without steps
	Blocks   map[string]string `json:"blocks"`   // by the names of the blocks; fanout is empty where there is none
}

// fingerprintForm is Fingerprints.Form. A test says when it has to be raised.
const fingerprintForm = 1

// Fingerprints returns those of a complete configuration.
func (c Config) Fingerprints() Fingerprints {
	f := Fingerprints{Form: fingerprintForm, Versions: make(map[string]string, len(c.Versions))}
	for i := range c.Versions {
		f.Versions[c.Versions[i].Name] = ""
		if len(c.Versions[i].Events) > 0 {
			f.Versions[c.Versions[i].Name] = fingerprint(c.Versions[i].Events)
		}
	}
	c.API.Listen, c.API.TLS = "", TLS{}
	keys := slices.Clone(c.API.Keys)
	slices.SortFunc(keys, func(a, b APIKey) int { return cmp.Compare(a.Name, b.Name) })
	c.API.Keys = keys
	types := slices.Clone(c.Catalogue.Types)
	slices.SortFunc(types, func(a, b EventType) int { return cmp.Compare(a.Name, b.Name) })
	for i := range types {
		types[i].Place = ""
	}
	f.Blocks = map[string]string{
		"api": fingerprint(c.API), "attempts": fingerprint(c.Attempts), "catalogue": fingerprint(Catalogue{Types: types, Validate: c.Catalogue.Validate}),
		"fanout": c.Fanout.says(), "network": fingerprint(c.Network), "outbox": fingerprint(c.Outbox), "panel": fingerprint(c.Panel), "retention": fingerprint(c.Retention),
	}
	return f
}

// route is what decides which events an endpoint gets, and how they wait.
type route struct {
	ID, Tenant, Version string
	Ordering            Ordering
	Subscriptions       []Subscription
}

// Routing returns a short hash of what a complete configuration says of which endpoint gets which
// event. All processes of a fleet have to agree on that; not on how an event is sent.
func (c Config) Routing() string {
	routes := make([]route, 0, len(c.Endpoints))
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		routes = append(routes, route{ID: e.ID, Tenant: e.Tenant, Version: e.Version, Ordering: e.Ordering, Subscriptions: e.Subscriptions})
	}
	slices.SortFunc(routes, func(a, b route) int { return cmp.Compare(a.ID, b.ID) })
	return fingerprint(struct {
		Routes   []route
		Versions map[string]string
	}{routes, c.Fingerprints().Versions})
}

// fingerprintSize is how many bytes of a hash are kept: two that differ are the same by chance once
// in 2^64.
const fingerprintSize = 8

func fingerprint(v any) string {
	h := sha256.New()
	say(h, reflect.ValueOf(v))
	return hex.EncodeToString(h.Sum(nil)[:fingerprintSize])
}

// say writes a value in one way. Fields that are not set are left out, so that one which a later
// release adds changes nothing until it is.
func say(w io.Writer, v reflect.Value) {
	if text, is := meant(v.Interface()); is {
		write(w, "%s", text)
		return
	}
	switch v.Kind() { //nolint:exhaustive // the configuration has no others, a test looks
	case reflect.Struct:
		write(w, "{")
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.IsExported() && field.Type != reflect.TypeFor[Origin]() && !unset(v.Field(i)) {
				write(w, "%s=", field.Name)
				say(w, v.Field(i))
				write(w, ";")
			}
		}
		write(w, "}")
	case reflect.Slice:
		write(w, "[")
		for i := range v.Len() {
			say(w, v.Index(i))
			write(w, ";")
		}
		write(w, "]")
	case reflect.Map:
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		write(w, "{")
		for _, name := range names {
			write(w, "%q=", name.String())
			say(w, v.MapIndex(name))
			write(w, ";")
		}
		write(w, "}")
	case reflect.String:
		write(w, "%q", v.String())
	default:
		write(w, "%v", v.Interface()) // a number or a flag
	}
}

// write writes to a hash, which takes everything.
func write(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// meant returns what a value means that is not what its fields or bytes are.
func meant(v any) (text string, is bool) {
	switch v := v.(type) {
	case Secret:
		text = strconv.FormatBool(!v.IsZero())
	case *filter.Filter:
		text = strconv.Quote(v.Canonical())
	case *filter.Body:
		text = strconv.Quote(v.Canonical())
	case *filter.Search:
		text = strconv.Quote(v.Canonical())
	case json.RawMessage:
		text = strconv.Quote(string(canonicalJSON(v)))
	case netip.Prefix:
		text = strconv.Quote(v.String())
	case time.Time:
		text = strconv.Quote(v.UTC().Format(time.RFC3339Nano))
	case []byte:
		text = strconv.Quote(string(v))
	default:
		return "", false
	}
	return text, true
}

// unset reports whether a field says nothing.
func unset(v reflect.Value) bool {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// canonicalJSON writes JSON in one way, with sorted names.
func canonicalJSON(raw json.RawMessage) []byte {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return raw
	}
	text, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return text
}
