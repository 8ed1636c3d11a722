package config

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/tailpost/tailpost/config/catalogue"
)

// Validate is what becomes of a payload that its schema does not allow.
type Validate string

// What a relay does.
const (
	ValidateOff  Validate = "off"  // payloads are not looked at
	ValidateWarn Validate = "warn" // it is sent, and told of
	ValidateDead Validate = "dead" // its deliveries are dead, and nothing is sent
)

// EventType describes a type of events.
type EventType = catalogue.Type

// Catalogue describes the application's events. The zero Catalogue describes none.
type Catalogue struct {
	Files    []string    // as they were named
	Types    []EventType // of all files
	Validate Validate    // default off

	schemas map[string]*catalogue.Schema // by the names of types
}

// Check returns what is wrong with the payload of an event, by the schema of its type: the rule
// that it breaks, without a word of it; nil for a type without one. The Catalogue is a complete
// one's.
func (c *Catalogue) Check(eventType string, payload []byte) error {
	s := c.schemas[eventType]
	if s == nil {
		return nil
	}
	return s.Check(payload)
}

// Equal reports whether two catalogues say the same.
func (c *Catalogue) Equal(other *Catalogue) bool {
	return c.Validate == other.Validate && slices.EqualFunc(c.Types, other.Types, func(a, b EventType) bool {
		return a.Name == b.Name && a.Description == b.Description && a.Deprecated == b.Deprecated &&
			string(a.Schema) == string(b.Schema) && string(a.Example) == string(b.Example)
	})
}

func (c *Catalogue) complete() {
	c.Validate = cmp.Or(c.Validate, ValidateOff)
	c.Files, c.Types = slices.Clone(c.Files), slices.Clone(c.Types)
	c.schemas = maps.Clone(c.schemas)
}

// decodeCatalogue decodes the catalogue block and reads its files.
func decodeCatalogue(d *decoder, s *section) {
	s.check([]string{"files", "validate"}, nil)
	c := &d.config.Catalogue
	if text, ok := s.text("validate"); ok {
		c.Validate = Validate(text)
	}
	c.Files, _ = s.texts("files")
	for i, name := range c.Files {
		at, placed := d.places[global][fmt.Sprintf("catalogue.files[%d]", i)]
		if !placed {
			at = s.body.Attributes["files"].Expr.Range()
		}
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(s.src.Name()), path)
		}
		text, err := d.opts.ReadFile(path)
		if err != nil {
			s.fail(at, "Unreadable file", "%s It is %s.", unreadable(path, err).Detail, path)
			continue
		}
		types, err := catalogue.Read(path, text)
		if err != nil {
			s.fail(at, "Invalid description of events", "%s.", err)
			continue
		}
		c.Types = append(c.Types, types...)
	}
}

// checkCatalogue checks the catalogue and compiles its schemas.
func checkCatalogue(c *checker) {
	all := &c.config.Catalogue
	oneOf(c, "catalogue.validate", all.Validate, ValidateOff, ValidateWarn, ValidateDead)
	if all.Validate != ValidateOff && len(all.Types) == 0 && len(all.Files) == 0 {
		c.fail("catalogue.validate", "Nothing to validate by", "Name files that describe events, or leave validate out.")
	}
	all.schemas = make(map[string]*catalogue.Schema, len(all.Types))
	first := make(map[string]string, len(all.Types))
	for i := range all.Types {
		t := &all.Types[i]
		fail := func(summary, detail string, args ...any) {
			c.fail("catalogue.files", summary, "%s: "+detail, append([]any{t.Place}, args...)...)
		}
		pattern, err := ParsePattern(t.Name)
		switch {
		case err != nil:
			fail("Invalid event type", "%s.", err)
		case !pattern.Exact():
			fail("Invalid event type", "write the name of one type, not a pattern.")
		case !Versioned(t.Name):
			fail("Tailpost's own events", "leave it out: they are described already.")
		case first[t.Name] != "":
			fail("Repeated event type", "%q is described at %s already. Leave one of the two out.", t.Name, first[t.Name])
		}
		first[t.Name] = t.Place
		if t.Schema == nil {
			continue
		}
		schema, err := catalogue.Compile(t.Schema)
		if err != nil {
			fail("Invalid schema", "%s.", err)
			continue
		}
		all.schemas[t.Name] = schema
	}
}
