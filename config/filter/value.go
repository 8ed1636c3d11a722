package filter

import (
	"strings"
	"time"
	"unsafe"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/payload"
)

// kind is what a value is while an expression runs.
type kind uint8

const (
	kindMissing   kind = iota // null, not there, or of a kind that the operation has no answer for
	kindBool                  // flag
	kindNumber                // number
	kindString                // text
	kindTime                  // at
	kindComposite             // an object or array: text from its bracket to the end of the payload
)

// value is what an expression evaluates to. Where that can only be a truth, a test is cheaper.
type value struct {
	kind   kind
	flag   bool
	lack   lack
	text   string         // of a string or composite, or of a number as it is written
	digits payload.Digits // of a number
	at     *time.Time
}

// lack is what was missing on the way to a value, whatever came of it.
type lack uint8

const (
	lackNothing  lack = iota
	lackValue         // a missing value was met
	lackTooLarge      // the value is missing because it would be too large
)

func missing() value                 { return value{lack: lackValue} }
func tooLarge() value                { return value{lack: lackTooLarge} }
func boolean(flag bool) value        { return value{kind: kindBool, flag: flag} }
func textual(s string) value         { return value{kind: kindString, text: s} }
func numeric(n payload.Number) value { return value{kind: kindNumber, text: n.Text, digits: n.Digits} }
func (v value) missed() bool         { return v.lack != lackNothing }

// number returns the number that a value of kindNumber is.
func (v value) number() payload.Number { return payload.Number{Text: v.text, Digits: v.digits} }

// note adds that a missing value was met on the way.
func (v value) note(missed bool) value {
	if missed {
		v.lack = max(v.lack, lackValue)
	}
	return v
}

// evaluate computes an expression for an event.
type evaluate func(e *outbox.Event) value

// readPath returns the value at a path of the payload.
func readPath(path payload.Path) evaluate {
	return func(e *outbox.Event) value { return readIn(e.Payload, path) }
}

// readIn returns the value at a path of a document.
func readIn(doc []byte, path payload.Path) value {
	at := path.Find(doc)
	if at == payload.Absent {
		return missing()
	}
	return readValue(doc, at)
}

// readValue returns the value at doc[at].
func readValue(doc []byte, at int) value {
	switch doc[at] {
	case '"':
		end := payload.End(doc, at)
		if end == payload.Absent {
			return missing()
		}
		raw := alias(doc[at+1 : end-1])
		if strings.IndexByte(raw, '\\') < 0 {
			return textual(raw)
		}
		s, ok := payload.Unquote(doc[at:end])
		if !ok {
			return missing()
		}
		return textual(s)
	case '{', '[':
		return value{kind: kindComposite, text: alias(doc[at:])}
	}
	end := payload.End(doc, at)
	if end == payload.Absent {
		return missing()
	}
	switch raw := alias(doc[at:end]); raw {
	case "true", "false":
		return boolean(raw == "true")
	case "null":
		return missing()
	default:
		n, ok := payload.ParseNumber(raw)
		if !ok {
			return missing()
		}
		return numeric(n)
	}
}

// alias returns b as a string without a copy.
func alias(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // an Event is immutable, and its payload with it
}

// unalias returns s as bytes without a copy. Nobody writes to them.
func unalias(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // only read
}

// timeText is how times are written in bodies and texts.
func timeText(t time.Time) string {
	return t.UTC().Format(time.RFC3339Nano)
}

// compare returns the sign of a - b for two values of one ordered kind. It is false for all others.
func compare(a, b *value) (int, bool) {
	switch {
	case a.kind != b.kind:
		return 0, false
	case a.kind == kindString:
		return strings.Compare(a.text, b.text), true
	case a.kind == kindTime:
		return a.at.Compare(*b.at), true
	case a.kind != kindNumber:
		return 0, false
	}
	return a.number().Compare(b.number()), true
}

// equals says whether a and b are the same: true, false, or missing where one is missing or a
// composite.
func equals(a, b *value) truth {
	if a.kind == kindMissing || b.kind == kindMissing || a.kind == kindComposite || b.kind == kindComposite {
		return missingTruth
	}
	same := a.kind == b.kind
	switch {
	case !same:
	case a.kind == kindBool:
		same = a.flag == b.flag
	default:
		c, ok := compare(a, b)
		same = ok && c == 0
	}
	return truthOf(same, a.missed() || b.missed())
}

// negated turns the sign of a number around, and keeps every digit.
func negated(v value) value {
	if v.kind != kindNumber {
		return missing()
	}
	return numeric(v.number().Negated()).note(v.missed())
}

// arithmetic applies an operator to two numbers.
func arithmetic(operator byte, left, right evaluate) evaluate {
	return func(e *outbox.Event) value {
		l, r := left(e), right(e)
		if l.kind != kindNumber || r.kind != kindNumber {
			return missing()
		}
		n, ok := l.number().Apply(operator, r.number())
		if !ok {
			return missing()
		}
		return numeric(n).note(l.missed() || r.missed())
	}
}
