package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The bounds of documents.
const (
	MaxFile   = 8 << 20 // bytes of one file
	maxTypes  = 10_000
	maxFollow = 16 // references from one to the next
	maxDeep   = 200
)

// Type describes a type of events.
type Type struct {
	Name        string
	Description string
	Schema      json.RawMessage // nil: none; it refers to nothing outside of itself
	Example     json.RawMessage // nil: none
	Deprecated  bool
	Place       string // file and pointer, for errors
}

// Read returns the types that a file describes: the webhooks of an OpenAPI document, or the one
// whose name the name of a JSON Schema file is. Both may be JSON or YAML. An error says where in
// the file something is wrong.
func Read(name string, text []byte) ([]Type, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s: more than %d MiB: split it", name, MaxFile>>20)
	}
	doc, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if version, is := doc["openapi"]; is {
		return readOpenAPI(name, doc, version)
	}
	base := filepath.Base(name)
	for _, end := range []string{".json", ".yaml", ".yml", ".schema"} {
		base = strings.TrimSuffix(base, end)
	}
	t := Type{Name: base, Place: name + "#"}
	t.Description, _ = doc["description"].(string)
	t.Deprecated, _ = doc["deprecated"].(bool)
	if t.Example, err = exampleOf(nil, doc); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if t.Schema, err = encode(doc); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return []Type{t}, nil
}

// decode reads an object that is JSON or YAML. Numbers of JSON keep their digits.
func decode(text []byte) (map[string]any, error) {
	var doc any
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&doc); err != nil {
			if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
				return nil, fmt.Errorf("line %d: not valid JSON: %w", 1+bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n")), err)
			}
			return nil, fmt.Errorf("not valid JSON: %w", err)
		}
	} else {
		var node yaml.Node
		if err := yaml.Unmarshal(text, &node); err != nil {
			return nil, fmt.Errorf("not valid YAML: %w", err)
		}
		var whole any // which looks for aliases that multiply, and for names that come twice
		if err := node.Decode(&whole); err != nil {
			return nil, fmt.Errorf("not valid YAML: %w", err)
		}
		y := yamlReader{}
		var err error
		if doc, err = y.value(&node, 0); err != nil {
			return nil, err
		}
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("not an object: write an OpenAPI 3.1 document or a JSON Schema")
	}
	return object, nil
}

// maxNodes bounds the values of a YAML document, aliases counted each time.
const maxNodes = 2_000_000

// yamlReader turns YAML into what JSON decodes to. Numbers keep their digits, and what looks like a
// day stays a text: JSON has neither dates nor other forms of numbers.
type yamlReader struct{ nodes int }

func (y *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	if depth > maxDeep {
		return nil, fmt.Errorf("line %d: more than %d levels deep", n.Line, maxDeep)
	}
	if y.nodes++; y.nodes > maxNodes {
		return nil, fmt.Errorf("line %d: more than %d values", n.Line, maxNodes)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return y.value(n.Content[0], depth)
	case yaml.AliasNode:
		return y.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, inner := range n.Content {
			var err error
			if list[i], err = y.value(inner, depth+1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case yaml.MappingNode:
		object := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i]
			if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" {
				return nil, fmt.Errorf("line %d: the name of a member is a text: JSON has no other", name.Line)
			}
			var err error
			if object[name.Value], err = y.value(n.Content[i+1], depth+1); err != nil {
				return nil, err
			}
		}
		return object, nil
	case yaml.ScalarNode:
	}
	return y.scalar(n)
}

func (y *yamlReader) scalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var is bool
		err := n.Decode(&is)
		return is, err
	case "!!int", "!!float":
		if number := json.Number(n.Value); json.Valid([]byte(number)) {
			return number, nil
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, err
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("line %d: JSON has no number %s", n.Line, n.Value)
		}
		return json.Number(text), nil
	}
	return n.Value, nil
}

func readOpenAPI(name string, doc map[string]any, version any) ([]Type, error) {
	text, _ := version.(string)
	if !strings.HasPrefix(text, "3.1.") && text != "3.1" {
		return nil, fmt.Errorf("%s#/openapi: write OpenAPI 3.1: other versions have no webhooks", name)
	}
	hooks, ok := doc["webhooks"].(map[string]any)
	if !ok || len(hooks) == 0 {
		return nil, fmt.Errorf("%s#/webhooks: there is none: each webhook describes a type of events", name)
	}
	if len(hooks) > maxTypes {
		return nil, fmt.Errorf("%s#/webhooks: more than %d", name, maxTypes)
	}
	d := document{name: name, root: doc}
	types := make([]Type, 0, len(hooks))
	for _, key := range slices.Sorted(maps.Keys(hooks)) {
		t, err := d.webhook(key, hooks[key])
		if err != nil {
			return nil, err
		}
		types = append(types, t)
	}
	return types, nil
}

// document is an OpenAPI document.
type document struct {
	name string
	root map[string]any
}

func (d *document) fail(pointer, format string, args ...any) error {
	return fmt.Errorf("%s#%s: %s", d.name, pointer, fmt.Sprintf(format, args...))
}

// webhook reads one webhook: what the body of its request is. The name of the type is that of the
// webhook, or x-event-type.
func (d *document) webhook(key string, item any) (Type, error) {
	pointer := "/webhooks/" + escape(key)
	path, err := d.object(pointer, item)
	if err != nil {
		return Type{}, err
	}
	t := Type{Name: key, Place: d.name + "#" + pointer}
	for _, method := range []string{"post", "put", "patch", "delete"} {
		if path[method] == nil {
			continue
		}
		pointer += "/" + method
		op, err := d.object(pointer, path[method])
		if err != nil {
			return Type{}, err
		}
		for _, holder := range []map[string]any{path, op} {
			if own, ok := holder["x-event-type"].(string); ok {
				t.Name = own
			}
		}
		t.Description, _ = op["description"].(string)
		if t.Description == "" {
			t.Description, _ = op["summary"].(string)
		}
		t.Deprecated, _ = op["deprecated"].(bool)
		return t, d.body(pointer+"/requestBody", op["requestBody"], &t)
	}
	return Type{}, d.fail(pointer, "no operation: describe the request under post")
}

// body reads schema and example of a request's body. One with the members of the standard envelope
// is about what is in its data.
func (d *document) body(pointer string, raw any, t *Type) error {
	if raw == nil {
		return nil // such events have no payload worth a word
	}
	request, err := d.object(pointer, raw)
	if err != nil {
		return err
	}
	content, _ := request["content"].(map[string]any)
	name := jsonOf(content)
	if name == "" {
		return d.fail(pointer+"/content", "no application/json: payloads are JSON")
	}
	pointer += "/content/" + escape(name)
	media, ok := content[name].(map[string]any)
	if !ok {
		return d.fail(pointer, "not an object")
	}
	var schema map[string]any
	if media["schema"] != nil {
		if schema, ok = media["schema"].(map[string]any); !ok {
			return d.fail(pointer+"/schema", "not an object")
		}
	}
	followed := schema
	if schema != nil {
		if followed, err = d.object(pointer+"/schema", schema); err != nil {
			return err
		}
	}
	if t.Example, err = d.example(pointer, media, followed); err != nil {
		return err
	}
	if properties, _ := followed["properties"].(map[string]any); properties["data"] != nil && properties["type"] != nil &&
		(properties["timestamp"] != nil || properties["specversion"] != nil) {
		if schema, ok = properties["data"].(map[string]any); !ok {
			return d.fail(pointer+"/schema/properties/data", "not an object")
		}
		var envelope struct {
			Data json.RawMessage `json:"data"`
		}
		if json.Unmarshal(t.Example, &envelope) == nil {
			t.Example = envelope.Data
		}
	}
	if schema == nil {
		return nil
	}
	if t.Schema, err = d.bundle(schema); err != nil {
		return d.fail(pointer+"/schema", "%v", err)
	}
	return nil
}

// jsonOf returns the name of the media type of a content that speaks of JSON: application/json, be
// it with a charset, before others such as application/cloudevents+json, before ranges that have it
// among others. Empty: there is none.
func jsonOf(content map[string]any) string {
	const none = 4
	best, found := none, ""
	for _, name := range slices.Sorted(maps.Keys(content)) {
		rank := none
		switch bare, _, _ := strings.Cut(strings.ToLower(name), ";"); strings.TrimSpace(bare) {
		case "application/json":
			rank = 0
			if name != "application/json" {
				rank = 1
			}
		case "application/cloudevents-batch+json": // a list of them
		case "application/*", "*/*":
			rank = 3
		default:
			if strings.HasSuffix(strings.TrimSpace(bare), "+json") {
				rank = 2
			}
		}
		if rank < best {
			best, found = rank, name
		}
	}
	return found
}

// example returns the example of a body. Those of the media type may be references.
func (d *document) example(pointer string, media, schema map[string]any) (json.RawMessage, error) {
	if all, ok := media["examples"].(map[string]any); ok {
		for name, one := range all {
			var err error
			if all[name], err = d.object(pointer+"/examples/"+escape(name), one); err != nil {
				return nil, err
			}
		}
	}
	found, err := exampleOf(media, schema)
	if err != nil {
		return nil, d.fail(pointer, "%v", err)
	}
	return found, nil
}

// object follows references to an object of the document.
func (d *document) object(pointer string, v any) (map[string]any, error) {
	for range maxFollow {
		o, ok := v.(map[string]any)
		if !ok {
			return nil, d.fail(pointer, "not an object")
		}
		ref, ok := o["$ref"].(string)
		if !ok {
			return o, nil
		}
		var err error
		if v, err = d.lookup(ref); err != nil {
			return nil, d.fail(pointer, "%v", err)
		}
	}
	return nil, d.fail(pointer, "references that lead in a circle")
}

// errElsewhere is a reference out of the document.
var errElsewhere = errors.New("a reference out of the file: nothing is fetched, and no other file is read: bundle the document into one file")

// lookup returns what a reference within the document leads to.
func (d *document) lookup(ref string) (any, error) {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, fmt.Errorf("$ref %q: %w", ref, errElsewhere)
	}
	var at any = d.root
	for step := range strings.SplitSeq(path, "/") {
		o, ok := at.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("$ref %q: it leads nowhere", ref)
		}
		if at, ok = o[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]; !ok {
			return nil, fmt.Errorf("$ref %q: it leads nowhere", ref)
		}
	}
	return at, nil
}

// exampleOf returns the example of a body, or of its schema.
func exampleOf(media, schema map[string]any) (json.RawMessage, error) {
	if v, ok := media["example"]; ok {
		return encode(v)
	}
	if all, ok := media["examples"].(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if one, ok := all[name].(map[string]any); ok && one["value"] != nil {
				return encode(one["value"])
			}
		}
	}
	if v, ok := schema["example"]; ok {
		return encode(v)
	}
	if all, ok := schema["examples"].([]any); ok && len(all) > 0 {
		return encode(all[0])
	}
	return nil, nil
}

func encode(v any) (json.RawMessage, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a document: %w", err)
	}
	return text, nil
}

// escape writes a name as a step of a pointer.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }
