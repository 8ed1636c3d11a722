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
	for _, f := range []struct{ name, value string }{{"id", ev.ID}, {"key", ev.Key}, {"type", ev.Type}, {"tenant", ev.Tenant}} {
		switch {
		case len(f.value) > maxName:
			return fmt.Errorf("%s of the event is longer than %d bytes", f.name, maxName)
		case strings.ContainsRune(f.value, 0) || !utf8.ValidString(f.value):
			return fmt.Errorf("%s of the event is not text: it has a NUL or bytes that are not UTF-8", f.name)
		}
	}
	return nil
}
