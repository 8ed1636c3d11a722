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
