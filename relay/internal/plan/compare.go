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

// subscriptionsName is the setting whose texts may differ though they mean the same.
const subscriptionsName = "subscriptions"

// settings are those of an endpoint by their names, as JSON.
type settings map[string]json.RawMessage

// read takes the settings apart. A policy that is no JSON object was written by hand.
func read(texts map[string]string, subscriptions, policy []byte) (settings, error) {
	s := make(settings)
	if err := json.Unmarshal(policy, &s); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	s[subscriptionsName] = subscriptions
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
		if !bytes.Equal(canonical(was), canonical(is)) && (name != subscriptionsName || !sameSubscriptions(e, row)) {
			changed = append(changed, Setting{Name: name, Before: shown(was), After: shown(is)})
		}
	}
	return changed, nil
}

// sameSubscriptions reports whether an endpoint takes the same events as its row says, however the
// expressions are laid out.
func sameSubscriptions(e *config.Endpoint, row *ledger.EndpointRow) bool {
	was, err := ledger.DecodeEndpoint(*row)
	return err == nil && slices.EqualFunc(was.Subscriptions, e.Subscriptions, func(a, b config.Subscription) bool {
		return slices.Equal(a.Events, b.Events) && a.Where.Canonical() == b.Where.Canonical() && a.Body.Canonical() == b.Body.Canonical()
	})
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
