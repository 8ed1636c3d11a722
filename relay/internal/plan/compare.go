package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// settings are those of an endpoint by their names, as JSON.
type settings map[string]json.RawMessage

// read takes the settings apart. A policy that is no JSON object was written by hand.
func read(texts map[string]string, subscriptions, policy []byte) (settings, error) {
	s := make(settings)
	if err := json.Unmarshal(policy, &s); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	s["subscriptions"] = subscriptions
	for name, text := range texts {
		if text == "" {
			continue
		}
		raw, err := json.Marshal(text)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		s[name] = raw
	}
	return s, nil
}

// compare lists the settings by which an endpoint differs from its row. Where it stands in the
// configuration is none of them.
func compare(e *config.Endpoint, row *ledger.EndpointRow) ([]Setting, error) {
	open := *e
	open.Query = e.ShownQuery()
	subscriptions, policy, err := ledger.EncodeEndpoint(open)
	if err != nil {
		return nil, fmt.Errorf("compare endpoint %q: %w", e.ID, err)
	}
	after, err := read(map[string]string{"tenant": e.Tenant, "name": e.Name, "url": e.ShownURL(), "description": e.Description}, subscriptions, policy)
	if err != nil {
		return nil, fmt.Errorf("compare endpoint %q: %w", e.ID, err)
	}
	before, err := read(map[string]string{"tenant": row.Tenant, "name": row.Name, "url": row.URL, "description": row.Description}, row.Subscriptions, row.Policy)
	if err != nil {
		before = settings{} // everything is new
	}
	names := make(map[string]struct{})
	for _, s := range []settings{before, after} {
		for name := range s {
			names[name] = struct{}{}
		}
	}
	changed := []Setting{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is := before[name], after[name]
		if !bytes.Equal(canonical(was), canonical(is)) {
			changed = append(changed, Setting{Name: name, Before: shown(was), After: shown(is)})
		}
	}
	return changed, nil
}

// canonical writes JSON in one way, with sorted names.
func canonical(raw json.RawMessage) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // filters have < and >
	if enc.Encode(v) != nil {
		return raw
	}
	return bytes.TrimSpace(text.Bytes())
}

// shown is JSON for people: a text without its quotes.
func shown(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(canonical(raw))
}
