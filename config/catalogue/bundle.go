package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const components = "#/components/schemas/"

// bundle returns a schema of the document with the components that it refers to, so that it stands
// alone.
func (d *document) bundle(schema map[string]any) (json.RawMessage, error) {
	own, isObject := schema["$defs"].(map[string]any)
	b := bundler{document: d, own: own, defs: make(map[string]any)}
	whole, err := b.schema(schema, 0)
	if err != nil {
		return nil, err
	}
	object, ok := whole.(map[string]any)
	if !ok || len(b.defs) == 0 || schema["$defs"] != nil && !isObject { // the compiler reports it
		return encode(whole)
	}
	if isObject {
		copied, _ := object["$defs"].(map[string]any)
		maps.Copy(b.defs, copied)
	}
	object["$defs"] = b.defs
	return encode(object)
}

type bundler struct {
	document *document
	own      map[string]any // the definitions that the schema has itself, under its names
	defs     map[string]any // beside them, those of components
}

// schema returns a copy whose references lead to defs.
func (b *bundler) schema(v any, depth int) (any, error) {
	switch v := v.(type) {
	case []any:
		copied := make([]any, len(v))
		for i := range v {
			var err error
			if copied[i], err = b.deeper(v[i], depth); err != nil {
				return nil, err
			}
		}
		return copied, nil
	case map[string]any:
		if v["nullable"] == true {
			return nil, errors.New("nullable is of OpenAPI 3.0, and means nothing here: write type: [string, \"null\"]")
		}
		copied := make(map[string]any, len(v))
		for name, inner := range v {
			var err error
			switch ref, isText := inner.(string); {
			case name == "$ref" && isText:
				copied[name], err = b.follow(ref)
			case slices.Contains([]string{"example", "examples", "default", "const", "enum"}, name):
				copied[name] = inner // values, in which nothing refers to anything
			case slices.Contains([]string{"properties", "patternProperties", "$defs", "dependentSchemas"}, name):
				copied[name], err = b.named(inner, depth)
			default:
				copied[name], err = b.deeper(inner, depth)
			}
			if err != nil {
				return nil, err
			}
		}
		return copied, nil
	}
	return v, nil
}

// named copies schemas that stand under names of the document's own.
func (b *bundler) named(v any, depth int) (any, error) {
	all, ok := v.(map[string]any)
	if !ok {
		return v, nil // the compiler reports it
	}
	copied := make(map[string]any, len(all))
	for name, inner := range all {
		var err error
		if copied[name], err = b.deeper(inner, depth); err != nil {
			return nil, err
		}
	}
	return copied, nil
}

func (b *bundler) deeper(v any, depth int) (any, error) {
	if depth++; depth > maxDeep {
		return nil, fmt.Errorf("more than %d levels deep", maxDeep)
	}
	return b.schema(v, depth)
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
	for b.own[name] != nil {
		name = "components:" + name // no component has such a name
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
