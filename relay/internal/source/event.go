package source

import (
	"fmt"
	"strings"
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
	for _, f := range []struct {
		name  string
		value *string
	}{{"id", &ev.ID}, {"key", &ev.Key}, {"type", &ev.Type}, {"tenant", &ev.Tenant}} {
		var problem error
		switch {
		case len(*f.value) > maxName:
			problem = fmt.Errorf("%s of the event is longer than %d bytes", f.name, maxName)
		case strings.ContainsRune(*f.value, 0) || !utf8.ValidString(*f.value):
			problem = fmt.Errorf("%s of the event is not text: it has a NUL or bytes that are not UTF-8", f.name)
		default:
			continue
		}
		*f.value = ""
		if why == nil {
			why = problem
		}
	}
	return why
}
