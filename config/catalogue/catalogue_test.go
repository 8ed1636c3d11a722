package catalogue_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/catalogue"
)

const document = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
paths: {}
webhooks:
  order.paid:
    post:
      summary: An order was paid.
      requestBody:
        $ref: "#/components/requestBodies/Paid"
  orderSent:
    x-event-type: order.sent
    post:
      deprecated: true
      description: An order is on its way.
      requestBody:
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Envelope"}
            examples:
              one: {$ref: "#/components/examples/Sent"}
  order.gone:
    put: {}
components:
  examples:
    Sent:
      value: {id: "1", type: order.sent, timestamp: 2026-09-20T00:00:00Z, data: {id: 7, day: 2026-09-20, total: 9.50, big: 12345678901234567890123, hex: 0x10, "on": true}}
  requestBodies:
    Paid:
      content:
        application/json:
          example: {id: 7, total: {amount: 9.5, currency: EUR}}
          schema: {$ref: "#/components/schemas/Order"}
  schemas:
    Envelope:
      type: object
      properties:
        id: {type: string}
        type: {type: string}
        timestamp: {type: string}
        data: {$ref: "#/components/schemas/Order"}
    Order:
      type: object
      required: [id]
      properties:
        id: {type: integer}
        total: {$ref: "#/components/schemas/Money"}
        parent: {$ref: "#/components/schemas/Order"}
    Money:
      type: object
      properties:
        amount: {type: number, minimum: 0}
        currency: {type: string, pattern: "^[A-Z]{3}$"}
`

func TestAnOpenAPIDocumentDescribesTypes(t *testing.T) {
	t.Parallel()
	types, err := catalogue.Read("shop.yaml", []byte(document))
	require.NoError(t, err)
	require.Len(t, types, 3)
	require.Equal(t, "shop.yaml#/webhooks/order.paid", types[1].Place)
	gone, paid, sent := types[0], types[1], types[2]
	require.Equal(t, "order.gone", gone.Name)
	require.Nil(t, gone.Schema)
	require.Equal(t, []any{"order.paid", "An order was paid.", false}, []any{paid.Name, paid.Description, paid.Deprecated})
	require.Equal(t, []any{"order.sent", "An order is on its way.", true}, []any{sent.Name, sent.Description, sent.Deprecated})
	require.JSONEq(t, `{"id":7,"total":{"amount":9.5,"currency":"EUR"}}`, string(paid.Example))
	digits := `{"big":12345678901234567890123,"day":"2026-09-20","hex":16,"id":7,"on":true,"total":9.50}`
	require.True(t, string(sent.Example) == digits, "of an envelope, its data, with its digits: %s", sent.Example) //nolint:testifylint // JSONEq knows no digits
	for _, one := range []catalogue.Type{paid, sent} {
		s, err := catalogue.Compile(one.Schema)
		require.NoError(t, err, "%s", one.Schema)
		require.NoError(t, s.Check([]byte(`{"id": 1, "parent": {"id": 2, "total": {"amount": 0}}}`)))
		require.EqualError(t, s.Check([]byte(`{"id": 1, "parent": {"id": 2, "total": {"amount": -1}}}`)), "#/$defs/Money/properties/amount: it breaks the rule minimum")
		require.ErrorContains(t, s.Check([]byte(`{"total": {}}`)), "missing property 'id'")
		require.ErrorContains(t, s.Check(nil), "got null, want object")
		require.EqualError(t, s.Check([]byte(`{"id": oops`)), "it is not valid JSON")
	}
}

// A path may have several operations in a document that others read too: what the operation says of
// itself counts before what is said of all.
func TestAnOperationNamesItsTypeItself(t *testing.T) {
	t.Parallel()
	for hook, want := range map[string]string{
		`{"post": {}}`:                                         "order paid",
		`{"x-event-type": "a", "post": {}}`:                    "a",
		`{"post": {"x-event-type": "b"}}`:                      "b",
		`{"x-event-type": 1, "post": {}}`:                      "order paid",
		`{"x-event-type": "a", "post": {"x-event-type": "b"}}`: "b",
	} {
		types, err := catalogue.Read("f.json", []byte(`{"openapi": "3.1.0", "webhooks": {"order paid": `+hook+`}}`))
		require.NoError(t, err, hook)
		require.Equal(t, want, types[0].Name, hook)
	}
}

func TestAJSONSchemaFileDescribesTheTypeOfItsName(t *testing.T) {
	t.Parallel()
	types, err := catalogue.Read("schemas/order.paid.schema.json", []byte(`{"description": "Paid.", "deprecated": true, "examples": [{"total": 12345678901234567890.10}],
		"properties": {"total": {"maximum": 12345678901234567890.10}}, "$defs": {"a": true}}`))
	require.NoError(t, err)
	require.Equal(t, "order.paid", types[0].Name)
	require.Equal(t, "Paid.", types[0].Description)
	require.True(t, types[0].Deprecated)
	require.Equal(t, `{"total":12345678901234567890.10}`, string(types[0].Example))
	s, err := catalogue.Compile(types[0].Schema)
	require.NoError(t, err)
	require.NoError(t, s.Check([]byte(`{"total": 12345678901234567890.10}`)))
	require.EqualError(t, s.Check([]byte(`{"total": 12345678901234567890.11}`)), "#/properties/total: it breaks the rule maximum")
}

// JSON has many names: with a charset, as what a vendor calls it, in a range. The plainest that is
// there counts. A CloudEvent is an envelope too.
func TestAnyMediaTypeOfJSONDescribesAPayload(t *testing.T) {
	t.Parallel()
	read := func(content string) (*catalogue.Type, error) {
		types, err := catalogue.Read("f.json", []byte(`{"openapi": "3.1.0", "webhooks": {"a": {"post": {"requestBody": {"content": {`+content+`}}}}}}`))
		if err != nil {
			return nil, err
		}
		require.Len(t, types, 1)
		return &types[0], nil
	}
	of := func(name, title string) string { return `"` + name + `": {"schema": {"title": "` + title + `"}}` }
	for _, content := range []string{
		of("application/json", "it"), of("application/json; charset=utf-8", "it"), of("Application/JSON", "it"), of("application/vnd.shop.order+json;v=1", "it"),
		of("application/*", "it"), of("*/*", "it"), of("*/*", "range") + "," + of("application/xml", "xml") + "," + of("application/json;charset=utf-8", "it"),
		of("application/a+json", "suffix") + "," + of("application/json", "it") + "," + of("application/json; v=0", "parameter"),
		of("Application/JSON", "other letters") + "," + of("application/json", "it"),
		`"application/cloudevents+json": {"schema": {"properties": {"specversion": {}, "type": {}, "data": {"title": "it"}}}}`,
	} {
		got, err := read(content)
		require.NoError(t, err, content)
		require.JSONEq(t, `{"title": "it"}`, string(got.Schema), content)
	}
	for _, payload := range []string{`{"data": {}, "timestamp": {}}`, `{"data": {}, "type": {}}`, `{"type": {}, "specversion": {}}`} {
		got, err := read(`"application/json": {"schema": {"properties": ` + payload + `}}`)
		require.NoError(t, err, payload)
		require.JSONEq(t, `{"properties": `+payload+`}`, string(got.Schema), "a payload that only looks like an envelope")
	}
	got, err := read(`"application/json": {"example": {"total": 9.50}}`)
	require.NoError(t, err)
	require.Equal(t, []string{"", `{"total":9.50}`}, []string{string(got.Schema), string(got.Example)}, "an example needs no schema")
	got, err = read(`"application/json": {"schema": {"examples": []}}`)
	require.NoError(t, err)
	require.Nil(t, got.Example)
	for _, content := range []string{of("application/xml", "x"), of("text/*", "x"), of("application/jsonp", "x"), of("application/cloudevents-batch+json", "x"), ""} {
		_, err := read(content)
		require.ErrorContains(t, err, "f.json#/webhooks/a/post/requestBody/content: no application/json", content)
	}
}

// What is wrong is said with its place, and nothing is fetched.
func TestADocumentThatIsBrokenIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	hook := func(schema string) string {
		return `{"openapi": "3.1.0", "webhooks": {"a/b": {"post": {"requestBody": {"content": {"application/json": {"schema": ` + schema + `}}}}}}, "components": {"schemas": {"A": {"$ref": "#/components/schemas/A"}}}}`
	}
	const at = "#/webhooks/a~1b/post/requestBody/content/application~1json/schema: "
	deep := strings.Repeat(`{"not":`, 300) + "{}" + strings.Repeat("}", 300)
	for text, want := range map[string]string{
		"{\n\n\"a\": }\n\n":          "f.json: line 3: not valid JSON",
		`{"a": `:                     "f.json: not valid JSON",
		"":                           "f.json: not an object",
		" \n":                        "f.json: not an object",
		"a: &a {b: 1}\nc:\n  <<: *a": "f.json: line 3: the name of a member is a text",
		"a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300):    "more than 200 levels deep",
		"a: " + strings.Repeat("{a: ", 300) + strings.Repeat("}", 300): "more than 200 levels deep",
		`{"openapi": "3.1", "webhooks": {}}`:                           "f.json#/webhooks: there is none",
		"a: [":                                                         "f.json: not valid YAML",
		"[]":                                                           "not an object",
		`{"openapi": "3.0.3"}`:                                         "f.json#/openapi: write OpenAPI 3.1",
		`{"openapi": "3.1.0"}`:                                         "f.json#/webhooks: there is none",
		`{"openapi": "3.1.0", "webhooks": {"a": {}}}`:                  "f.json#/webhooks/a: no operation",
		`{"openapi": "3.1.0", "webhooks": {"a": {"post": "get"}}}`:  "f.json#/webhooks/a/post: not an object",
		`{"openapi": "3.1.0", "webhooks": {"a": {"$ref": "#/x"}}}`:  `f.json#/webhooks/a: $ref "#/x": it leads nowhere`,
		hook(`{"$ref": "https://evil.example/s.json"}`):             at + `$ref "https://evil.example/s.json": a reference out of the file`,
		hook(`{"items": {"$ref": "other.json#/a"}}`):                at + `$ref "other.json#/a": a reference out of the file`,
		hook(`{"$ref": "#/components/schemas/A"}`):                  at + "references that lead in a circle",
		hook(`{"items": {"$ref": "#/components/schemas/Missing"}}`): "it leads nowhere",
		hook(`[]`): "schema: not an object",
		hook(`{"properties": {"a": {"type": "string", "nullable": true}}}`): at + "nullable is of OpenAPI 3.0",
		hook(`{"properties": {"data": 1, "type": {}, "timestamp": {}}}`):    "/schema/properties/data: not an object",
		hook(`{"items": {"$ref": "#/components/schemas/A/properties/b"}}`):  at + `$ref "#/components/schemas/A/properties/b": refer to #/components/schemas/NAME`,
		hook(deep): "more than 200 levels deep",
	} {
		_, err := catalogue.Read("f.json", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
	_, err := catalogue.Read("f.yaml", []byte("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"+
		"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"))
	require.Error(t, err)
	_, err = catalogue.Read("f.json", make([]byte, catalogue.MaxFile+1))
	require.ErrorContains(t, err, "more than 8 MiB")
	for text, want := range map[string]string{
		`{"type": "nonsense"}`:                        "/type",
		`{"properties": {"a": {"pattern": "(?=a)"}}}`: "pattern",
		`{"$ref": "https://evil.example/s.json"}`:     "nothing is fetched",
		`{"$ref": "file:///etc/passwd"}`:              "nothing is fetched",
		`{"$schema": "https://evil.example/meta"}`:    "nothing is fetched",
		`[]`: "",
	} {
		_, err := catalogue.Compile(json.RawMessage(text))
		require.Error(t, err, text)
		require.ErrorContains(t, err, want, text)
	}
}

// A schema may be made so that some payloads take for ever.
func TestACheckIsBounded(t *testing.T) {
	t.Parallel()
	s, err := catalogue.Compile(json.RawMessage(`{"anyOf": [{"items": {"$ref": "#"}, "type": "array"}, {"items": {"$ref": "#"}, "type": "array", "minItems": 1}, {"const": 1}]}`))
	require.NoError(t, err)
	require.NoError(t, s.Check([]byte(`[[1]]`)))
	require.EqualError(t, s.Check([]byte(strings.Repeat("[", 19)+"2"+strings.Repeat("]", 19))), "it takes too many steps to check")
	require.NoError(t, s.Check([]byte(`[[1]]`)), "the next one has all steps again")
	require.ErrorContains(t, s.Check([]byte(`"`+strings.Repeat("x", 5<<20)+`"`)), "larger than 4 MiB")

	huge, err := catalogue.Compile(json.RawMessage(`{"maximum": 5, "uniqueItems": true, "multipleOf": 0.01}`))
	require.NoError(t, err)
	for _, text := range []string{"1e1000000000", "-1e1000000000", "1e-1000000000", `[1e1000000000, 1e1000000000]`} {
		_ = huge.Check([]byte(text)) // it ends, and does not take the memory of the number
	}
	require.NotContains(t, fmt.Sprint(s.Check([]byte(`{"secret": "4711"}`))), "secret", "an error has not a word of the payload")
}

// What stands in an example, or under a name of the document's own, is no keyword.
func TestValuesOfASchemaAreNoKeywords(t *testing.T) {
	t.Parallel()
	types, err := catalogue.Read("f.json", []byte(`{"openapi": "3.1.0", "webhooks": {"a": {"post": {"requestBody": {"content": {"application/json": {"schema":
		{"const": {"$ref": "x", "nullable": true}, "properties": {"const": {"$ref": "#/components/schemas/A"}, "nullable": true}}}}}}}}, "components": {"schemas": {"A": {"type": "string"}}}}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"const": {"$ref": "x", "nullable": true}, "properties": {"const": {"$ref": "#/$defs/A"}, "nullable": true}, "$defs": {"A": {"type": "string"}}}`, string(types[0].Schema))
}

// A schema stands alone: what it refers to is in it, beside what it has of its own.
func TestASchemaHasWhatItRefersTo(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type": "string"}`:       `{"type": "string"}`,
		`{"items": {"$ref": "#"}}`: `{"items": {"$ref": "#"}}`,
		`{"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "null"}}}`:                              `{"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "null"}}}`,
		`{"items": {"$ref": "#/components/schemas/A"}, "not": {"$ref": "#/$defs/a"}, "$defs": {"a": {}}}`: `{"items": {"$ref": "#/$defs/A"}, "not": {"$ref": "#/$defs/a"}, "$defs": {"a": {}, "A": {"type": "string"}}}`,
		`{"items": {"$ref": "#/components/schemas/A"}, "not": {"$ref": "#/$defs/A"}, "$defs": {"A": {}}}`: `{"items": {"$ref": "#/$defs/components:A"}, "not": {"$ref": "#/$defs/A"}, "$defs": {"A": {}, "components:A": {"type": "string"}}}`,
	} {
		types, err := catalogue.Read("f.json", []byte(`{"openapi": "3.1", "webhooks": {"a": {"post": {"requestBody": {"content": {"application/json": {"schema": `+schema+`}}}}}},
			"components": {"schemas": {"A": {"type": "string"}}}}`))
		require.NoError(t, err, schema)
		require.JSONEq(t, want, string(types[0].Schema))
		_, err = catalogue.Compile(types[0].Schema)
		require.NoError(t, err, schema)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte(`{"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		types, err := catalogue.Read("f.json", text)
		if err != nil {
			return
		}
		for i := range types {
			if types[i].Schema == nil {
				continue
			}
			s, err := catalogue.Compile(types[i].Schema)
			if err == nil {
				_ = s.Check([]byte(`{"a": [1, "x", null]}`)) // any answer, in time
			}
		}
	})
}
