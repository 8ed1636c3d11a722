package catalogue

import (
	"encoding/json"
	"fmt"
	"strings"
)

const components = "#/components/schemas/"

// bundle returns a schema of the document with the components that it refers to, so that it stands
// alone.
func (d *document) bundle(schema map[string]any) (json.RawMessage, error) {
	b := bundler{document: d, defs: make(map[string]any)}
	whole, err := b.schema(schema, 0)
	if err != nil {
		return nil, err
	}
	if len(b.defs) == 0 {
		return encode(whole)
	}
	object, ok := whole.(map[string]any)
	if !ok {
		return encode(whole)
	}
	if _, has := object["$defs"]; has {
		object = map[string]any{"allOf": []any{object}}
	}
	object["$defs"] = b.defs
	return encode(object)
}

type bundler struct {
	document *document
	defs     map[string]any // by the names of components
}

// schema returns a copy whose references lead to defs.
func (b *bundler) schema(v any, depth int) (any, error) {
	if depth > maxDeep {
		return nil, fmt.Errorf("more than %d levels deep", maxDeep)
	}
	switch v := v.(type) {
	case []any:
		copied := make([]any, len(v))
		for i := range v {
			var err error
			if copied[i], err = b.schema(v[i], depth+1); err != nil {
				return nil, err
			}
		}
		return copied, nil
	case map[string]any:
		copied := make(map[string]any, len(v))
		for name, inner := range v {
			var err error
			if ref, ok := inner.(string); ok && name == "$ref" {
				copied[name], err = b.follow(ref)
			} else {
				copied[name], err = b.schema(inner, depth+1)
			}
			if err != nil {
				return nil, err
			}
		}
		return copied, nil
	}
	return v, nil
}

// follow takes what a reference leads to into defs, and returns the reference to it there.
func (b *bundler) follow(ref string) (string, error) {
	name, ok := strings.CutPrefix(ref, components)
	if !ok || strings.Contains(name, "/") {
		if strings.HasPrefix(ref, "#/$defs/") || ref == "#" {
			return ref, nil // of the schema itself
		}
		if strings.HasPrefix(ref, "#") {
			return "", fmt.Errorf("$ref %q: refer to %sNAME", ref, components)
		}
		return "", fmt.Errorf("$ref %q: %w", ref, errElsewhere)
	}
	if _, known := b.defs[name]; !known {
		target, err := b.document.lookup(ref)
		if err != nil {
			return "", err
		}
		b.defs[name] = nil // it may refer to itself
		if b.defs[name], err = b.schema(target, 0); err != nil {
			return "", fmt.Errorf("%s: %w", ref, err)
		}
	}
	return "#/$defs/" + name, nil
}
