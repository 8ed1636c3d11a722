package payload

import (
	"bytes"
	"encoding/json"
	"math/bits"
)

// Absent is the offset of what is not there.
const Absent = -1

// Path leads from a document to a value in it. The empty Path leads to the document itself.
type Path []Step

// Step leads from an object to a member, or from an array to an element.
type Step struct {
	name  string
	index int // Absent: a member
}

// Member is the step to the member of that name.
func Member(name string) Step { return Step{name: name, index: Absent} }

// Element is the step to element n, from 0.
func Element(n int) Step { return Step{index: n} }

// Name returns the member's name; ok is false for an element.
func (s Step) Name() (name string, ok bool) { return s.name, s.index == Absent }

// Find returns the offset in doc of the value at the path, or Absent.
func (p Path) Find(doc []byte) int {
	at := skipSpace(doc, 0)
	for i := range p {
		if at == Absent || at >= len(doc) {
			return Absent
		}
		at = p[i].from(doc, at)
	}
	if at >= len(doc) {
		return Absent
	}
	return at
}

// from returns the offset of the value that the step leads to from the value at doc[at].
func (s Step) from(doc []byte, at int) int {
	switch {
	case doc[at] == '[' && s.index != Absent:
		return element(doc, at, s.index)
	case doc[at] == '{' && s.index == Absent:
		return member(doc, at, s.name)
	default:
		return Absent
	}
}

// member returns the offset of the value of the last member of that name, in the object at doc[at].
func member(doc []byte, at int, name string) int {
	// A name may be written with escapes: then each of them must be decoded.
	if !plain(name) || bytes.Contains(doc[at:], []byte(`\u`)) {
		return memberDecoded(doc, at, name)
	}
	return memberQuoted(doc, at, name)
}

// plain reports whether every JSON writer writes name as it is, or with an escape of the form
// \u0061.
func plain(name string) bool {
	if name == "" {
		return false // the walk wants two bytes behind a quote
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == '"' || c == '\\' || c == '/' || c >= 0x7f {
			return false
		}
	}
	return true
}

// memberQuoted is member for a name that is written as it is. Nothing is walked through behind the
// last place where the quoted name stands.
func memberQuoted(doc []byte, at int, name string) int {
	quoted := make([]byte, 0, 64) // stays on the stack
	quoted = append(append(append(quoted, '"'), name...), '"')
	var b blocks // a literal would be made elsewhere and copied, which small documents feel
	b.doc, b.quoted, b.pos = doc, quoted, at+1
	b.seek(b.pos)
	found := Absent
	for b.wanted != Absent && b.next() {
		b.seek(b.at) // past those that were deeper
		for events := b.opens | b.closes | b.place(); events != 0; events &= events - 1 {
			i := bits.TrailingZeros64(events)
			switch bit := uint64(1) << i; {
			case b.opens&bit != 0:
				b.depth++
			case b.closes&bit != 0:
				if b.depth--; b.depth < 0 {
					return found
				}
			default:
				// An escaped quote may stand there, within another name.
				if v := memberValue(doc, b.wanted+len(quoted)); b.depth == 0 && b.strings&bit != 0 && v != Absent {
					found = v
				}
				b.seek(b.wanted + 1)
				events |= b.place()
			}
		}
	}
	return found
}

// memberDecoded is member for any name. It looks at each byte outside strings, and at each name of
// the object.
func memberDecoded(doc []byte, at int, name string) int {
	found, depth := Absent, 0
	for pos := at + 1; pos < len(doc); {
		switch classes[doc[pos]] {
		case classQuote:
			end := stringEnd(doc, pos)
			if end == Absent {
				return found
			}
			if depth == 0 && isName(doc[pos:end], name) {
				if v := memberValue(doc, end); v != Absent {
					found = v
				}
			}
			pos = end
			continue
		case classOpen:
			depth++
		case classClose:
			if depth--; depth < 0 {
				return found
			}
		case classOther:
		}
		pos++
	}
	return found
}

// isName reports whether a string as it stands in a document spells name.
func isName(quoted []byte, name string) bool {
	text := quoted[1 : len(quoted)-1]
	escape := bytes.IndexByte(text, '\\')
	if escape < 0 {
		return string(text) == name
	}
	if escape > len(name) || string(text[:escape]) != name[:escape] {
		return false
	}
	decoded, ok := Unquote(quoted)
	return ok && decoded == name
}

// memberValue returns the offset of the value of the member whose name ends at doc[end], or Absent
// for a string that names none.
func memberValue(doc []byte, end int) int {
	colon := skipSpace(doc, end)
	if colon >= len(doc) || doc[colon] != ':' {
		return Absent
	}
	if v := skipSpace(doc, colon+1); v < len(doc) {
		return v
	}
	return Absent
}

// element returns the offset of element n of the array at doc[at].
func element(doc []byte, at, n int) int {
	pos := First(doc, at)
	for ; pos != Absent && n > 0; n-- {
		pos = Next(doc, pos)
	}
	return pos
}

// First returns the offset of the first element of the array at doc[at], or Absent.
func First(doc []byte, at int) int {
	if pos := skipSpace(doc, at+1); pos < len(doc) && doc[pos] != ']' {
		return pos
	}
	return Absent
}

// Next returns the offset of the element after the one at doc[pos], or Absent.
func Next(doc []byte, pos int) int {
	pos = End(doc, pos)
	if pos == Absent {
		return Absent
	}
	pos = skipSpace(doc, pos)
	if pos >= len(doc) || doc[pos] != ',' {
		return Absent
	}
	if pos = skipSpace(doc, pos+1); pos < len(doc) {
		return pos
	}
	return Absent
}

// Count returns the number of elements or members of the array or object that doc begins with, or
// Absent.
func Count(doc []byte) int {
	end := End(doc, 0)
	if end == Absent {
		return Absent
	}
	pos := skipSpace(doc, 1)
	if pos == end-1 {
		return 0
	}
	n := 1
	for pos < end {
		switch doc[pos] {
		case '"', '{', '[':
			if pos = End(doc, pos); pos == Absent {
				return Absent
			}
		case ',':
			n++
			pos++
		default:
			pos++
		}
	}
	return n
}

// End returns the offset after the value at doc[at], or Absent if the document ends before it does.
func End(doc []byte, at int) int {
	if at >= len(doc) {
		return Absent
	}
	switch doc[at] {
	case '"':
		return stringEnd(doc, at)
	case '{', '[':
		return bracketEnd(doc, at)
	default:
		i := bytes.IndexAny(doc[at:], ",]} \t\r\n")
		switch {
		case i < 0:
			return len(doc)
		case i == 0:
			return Absent
		default:
			return at + i
		}
	}
}

// stringEnd returns the offset after the string whose opening quote is doc[at], or Absent.
func stringEnd(doc []byte, at int) int {
	for pos := at + 1; pos <= len(doc); {
		i := bytes.IndexByte(doc[pos:], '"')
		if i < 0 {
			return Absent
		}
		quote := pos + i
		first := quote
		for doc[first-1] == '\\' {
			first--
		}
		if (quote-first)%2 == 0 {
			return quote + 1
		}
		pos = quote + 1
	}
	return Absent
}

// bracketEnd returns the offset after the bracket that closes the one at doc[at], or Absent.
func bracketEnd(doc []byte, at int) int {
	var b blocks
	b.doc, b.wanted, b.pos, b.depth = doc, Absent, at+1, 1
	if !b.next() {
		return Absent
	}
	return b.at + b.closing() + 1
}

// class is what a byte outside strings means for where values end.
type class uint8

const (
	classOther class = iota
	classQuote
	classOpen
	classClose
)

// classes has the class of every byte.
var classes = [256]class{'"': classQuote, '{': classOpen, '[': classOpen, '}': classClose, ']': classClose} //nolint:gochecknoglobals // a table

// Unquote decodes a JSON string with its quotes.
func Unquote(raw []byte) (string, bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// skipSpace returns the offset of the first byte from doc[pos] on that is no white space.
func skipSpace(doc []byte, pos int) int {
	for pos < len(doc) && (doc[pos] == ' ' || doc[pos] == '\n' || doc[pos] == '\t' || doc[pos] == '\r') {
		pos++
	}
	return pos
}
