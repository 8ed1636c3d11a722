package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// The bounds of a check.
const (
	maxSteps   = 200_000 // schemas that are applied to values of one payload
	maxPayload = 4 << 20 // bytes
	maxShown   = 200     // bytes of what is wrong
)

// Schema holds payloads against a JSON Schema. It is safe for concurrent use; checks of one schema
// take turns.
type Schema struct {
	mu     sync.Mutex
	schema *jsonschema.Schema
	meter  *meter
}

// meter ends a check that takes too many steps. The validator calls it for every schema that it
// applies.
type meter struct{ left int }

// errTooManySteps is a payload that a schema takes too long for.
var errTooManySteps = errors.New("it takes too many steps to check")

// Validate implements jsonschema.SchemaExt.
func (m *meter) Validate(*jsonschema.ValidatorContext, any) {
	if m.left--; m.left < 0 {
		panic(errTooManySteps)
	}
}

// nowhere loads nothing.
type nowhere struct{}

func (nowhere) Load(string) (any, error) { return nil, errElsewhere }

// place stands for the file of a schema while it is compiled.
const place = "tailpost:schema"

// Compile compiles a schema. Patterns are those of RE2, so that none takes long. An error says
// where in the schema something is wrong.
func Compile(text json.RawMessage) (compiled *Schema, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("not a schema: %v", problem)
		}
	}()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	m := &meter{left: maxSteps}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nowhere{})
	c.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: "tailpost:meter", Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) { return m, nil },
	})
	c.AssertVocabs()
	if err := c.AddResource(place, doc); err != nil {
		return nil, compileError(err)
	}
	schema, err := c.Compile(place)
	if err != nil {
		return nil, compileError(err)
	}
	return &Schema{schema: schema, meter: m}, nil
}

// compileError is an error of the compiler without the name that stands for the file.
func compileError(err error) error {
	if errors.Is(err, errElsewhere) {
		return errElsewhere
	}
	return errors.New(shorten(strings.ReplaceAll(strings.Join(strings.Fields(err.Error()), " "), place, ""), 2*maxShown))
}

// Check returns what is wrong with a payload: which rule of the schema it breaks, without a word of
// it. What cannot be checked within the bounds is an error too.
func (s *Schema) Check(payload []byte) (err error) {
	if payload == nil {
		payload = []byte("null")
	}
	if len(payload) > maxPayload {
		return fmt.Errorf("it is larger than %d MiB, and not checked", maxPayload>>20)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return errors.New("it is not valid JSON")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meter.left = maxSteps
	defer func() {
		if problem := recover(); problem != nil {
			err = errTooManySteps
			if problem != any(errTooManySteps) {
				err = errors.New("it cannot be checked")
			}
		}
	}()
	found := (*jsonschema.ValidationError)(nil)
	switch err := s.schema.Validate(doc); {
	case err == nil:
		return nil
	case errors.As(err, &found):
		return errors.New(describe(found))
	default:
		return errors.New("it cannot be checked")
	}
}

// describe says what the first of the innermost problems is, and at which place of the schema:
// names in the payload may be as private as its values.
func describe(e *jsonschema.ValidationError) string {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	at := shorten(strings.TrimPrefix(e.SchemaURL, place), maxShown)
	rule := ""
	if path := e.ErrorKind.KeywordPath(); len(path) > 0 {
		rule = path[0]
	}
	return ruleText(at, rule, e)
}

// ruleText names the rule, and of it only what the schema says.
func ruleText(at, rule string, e *jsonschema.ValidationError) string {
	switch rule {
	case "required", "type":
		return at + ": " + shorten(e.ErrorKind.LocalizedString(message.NewPrinter(language.English)), maxShown)
	case "":
		return at + ": nothing is allowed there"
	}
	return at + ": it breaks the rule " + rule
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
