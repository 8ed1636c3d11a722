package filter

import (
	"cmp"
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

// value is what an expression evaluates to. Expressions know three truths, as SQL does: true, false
// and missing.
type value struct {
	kind   kind
	flag   bool
	missed bool // a missing value was met on the way, whatever came of it
	excess bool // missing because it would be too large
	text   string
	number payload.Number
	at     time.Time
}

func missing() value                 { return value{missed: true} }
func boolean(flag bool) value        { return value{kind: kindBool, flag: flag} }
func textual(s string) value         { return value{kind: kindString, text: s} }
func numeric(n payload.Number) value { return value{kind: kindNumber, number: n} }
func (v value) holds() bool          { return v.kind == kindBool && v.flag }
func (v value) fails() bool          { return v.kind == kindBool && !v.flag }
func (v value) note(m bool) value {
	v.missed = v.missed || m
	return v
}

// evaluate computes an expression for an event.
type evaluate func(e *outbox.Event) value

// readPath returns the value at a path of the payload.
func readPath(path payload.Path) evaluate {
	return func(e *outbox.Event) value {
		at := path.Find(e.Payload)
		if at == payload.Absent {
			return missing()
		}
		return readValue(e.Payload, at)
	}
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
		return a.at.Compare(b.at), true
	case a.kind != kindNumber:
		return 0, false
	}
	return a.number.Compare(&b.number), true
}

// equals says whether a and b are the same: true, false, or missing where one is missing or a
// composite.
func equals(a, b *value) value {
	missed := a.missed || b.missed
	switch {
	case a.kind == kindMissing || b.kind == kindMissing || a.kind == kindComposite || b.kind == kindComposite:
		return missing()
	case a.kind != b.kind:
		return boolean(false).note(missed)
	case a.kind == kindBool:
		return boolean(a.flag == b.flag).note(missed)
	default:
		c, ok := compare(a, b)
		return boolean(ok && c == 0).note(missed)
	}
}

// not turns the truth of v around. Missing stays missing.
func not(v value) value {
	if v.kind != kindBool {
		return missing()
	}
	v.flag = !v.flag
	return v
}

// negated turns the sign of a number around, and keeps every digit.
func negated(v value) value {
	if v.kind != kindNumber {
		return missing()
	}
	v.number = v.number.Negated()
	return v
}

// and is the conjunction: false if either is, whatever the other.
func and(left, right evaluate) evaluate {
	return func(e *outbox.Event) value {
		l := left(e)
		if l.fails() {
			return l
		}
		r := right(e)
		switch missed := l.missed || r.missed; {
		case r.fails():
			return boolean(false).note(missed)
		case l.holds() && r.holds():
			return boolean(true).note(missed)
		default:
			return missing()
		}
	}
}

// or is the disjunction: true if either is, whatever the other.
func or(left, right evaluate) evaluate {
	return func(e *outbox.Event) value {
		l := left(e)
		if l.holds() {
			return l
		}
		r := right(e)
		switch missed := l.missed || r.missed; {
		case r.holds():
			return boolean(true).note(missed)
		case l.fails() && r.fails():
			return boolean(false).note(missed)
		default:
			return missing()
		}
	}
}

// ordered is one of the operators <, <=, > and >=, given by the sign that makes it true and whether
// equality does.
func ordered(left, right evaluate, sign int, orEqual bool) evaluate {
	return func(e *outbox.Event) value {
		l, r := left(e), right(e)
		c, ok := compare(&l, &r)
		if !ok {
			return missing()
		}
		return boolean(cmp.Compare(c, 0) == sign || (orEqual && c == 0)).note(l.missed || r.missed)
	}
}

// arithmetic applies an operator to two numbers.
func arithmetic(operator byte, left, right evaluate) evaluate {
	return func(e *outbox.Event) value {
		l, r := left(e), right(e)
		if l.kind != kindNumber || r.kind != kindNumber {
			return missing()
		}
		n, ok := l.number.Apply(operator, &r.number)
		if !ok {
			return missing()
		}
		return numeric(n).note(l.missed || r.missed)
	}
}
