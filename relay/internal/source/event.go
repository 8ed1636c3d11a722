package source

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tailpost/tailpost/outbox"
)

// maxName bounds what is indexed of an event: Postgres refuses index entries of more than a third
// of a page.
const maxName = 1024

// Unrecordable returns why an event cannot be told from others in Tailpost's own tables; nil if it
// can.
func Unrecordable(ev *outbox.Event) error {
	copied := *ev
	return Fit(&copied)
}

// Fit leaves out of an event what makes it unrecordable, and returns why; nil if nothing does. What
// is left is what can be on record of it: without an ID, nothing under one of its own.
func Fit(ev *outbox.Event) (why error) {
	// Apart from their values, or what an error is told of a name would put the event on the heap.
	names := [...]string{"id", "key", "type", "tenant"}
	for i, value := range [...]*string{&ev.ID, &ev.Key, &ev.Type, &ev.Tenant} {
		var problem error
		switch {
		case len(*value) > maxName:
			problem = fmt.Errorf("%s of the event is longer than %d bytes", names[i], maxName)
		case strings.ContainsRune(*value, 0) || !utf8.ValidString(*value):
			problem = fmt.Errorf("%s of the event is not text: it has a NUL or bytes that are not UTF-8", names[i])
		default:
			continue
		}
		*value = ""
		if why == nil {
			why = problem
		}
	}
	return why
}

// Encode leaves out of an event the names that a database of an encoding may not be able to hold,
// and returns why; nil: it holds all. Postgres would refuse the whole of what is recorded with it.
// Of an encoding that is neither UTF8 nor LATIN1 only ASCII is known to be in it. SQL_ASCII takes
// any bytes. An empty encoding is UTF8.
func Encode(ev *outbox.Event, encoding string) (why error) {
	var last rune
	switch encoding {
	case "", "UTF8", "SQL_ASCII":
		return nil
	case "LATIN1":
		last = unicode.MaxLatin1
	default:
		last = unicode.MaxASCII
	}
	unknown := func(r rune) bool { return r > last }
	for _, name := range []struct {
		is    string
		value *string
	}{{"id", &ev.ID}, {"key", &ev.Key}, {"type", &ev.Type}, {"tenant", &ev.Tenant}} {
		if strings.ContainsFunc(*name.value, unknown) {
			*name.value = ""
			why = cmp.Or(why, fmt.Errorf("%s of the event has characters that a database in %s may not know", name.is, encoding))
		}
	}
	return why
}
