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
	var b blocks // a literal would be made elsewhere and copied, which small documents feel
	b.doc, b.pos = doc, at+1
	b.lookFor(name)
	found := Absent
	for b.next() {
		for events := b.opens | b.closes | b.strings; events != 0; events &= events - 1 {
			i := bits.TrailingZeros64(events)
			switch bit := uint64(1) << i; {
			case b.opens&bit != 0:
				b.depth++
			case b.closes&bit != 0:
				if b.depth--; b.depth < 0 {
					return found
				}
			case b.depth == 0:
				v := memberValue(doc, nameEnd(doc, b.at+i, name))
				if v == Absent {
					continue
				}
				if found == Absent && isLast(doc[v:], name) {
					return v
				}
				found = v
			}
		}
	}
	return found
}

// isLast reports whether no member of the name can follow in rest.
func isLast(rest []byte, name string) bool {
	quoted := append(append(make([]byte, 0, 64), name...), '"') // stays on the stack
	return plain(name) && !bytes.Contains(rest, quoted) && !bytes.Contains(rest, []byte(`\u`))
}

// plain reports whether every JSON writer writes name as it is, or with an escape of the form
// \u0061.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == '"' || c == '\\' || c == '/' || c >= 0x7f {
			return false
		}
	}
	return name != ""
}

// nameEnd returns the offset after the string at doc[at] if it spells name, or Absent.
func nameEnd(doc []byte, at int, name string) int {
	text := doc[at+1:]
	for i := range len(name) {
		switch {
		case i == len(text):
			return Absent
		case text[i] == '\\':
			return decodedEnd(doc, at, name)
		case text[i] != name[i]:
			return Absent
		}
	}
	if len(name) < len(text) && text[len(name)] == '"' {
		return at + 1 + len(name) + 1
	}
	return Absent
}

// decodedEnd is nameEnd for a string with an escape.
func decodedEnd(doc []byte, at int, name string) int {
	end := stringEnd(doc, at)
	if end == Absent {
		return Absent
	}
	if decoded, ok := Unquote(doc[at:end]); !ok || decoded != name {
		return Absent
	}
	return end
}

// memberValue returns the offset of the value of the member whose name ends at doc[end], or Absent
// for a string that names none.
func memberValue(doc []byte, end int) int {
	if end == Absent {
		return Absent
	}
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
		end := at
		for end < len(doc) && !delimiters[doc[end]] {
			end++
		}
		if end == at {
			return Absent
		}
		return end
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
	b.doc, b.pos, b.depth = doc, at+1, 1
	if !b.next() {
		return Absent
	}
	return b.at + b.closing() + 1
}

// delimiters are the bytes that end a number or a word.
var delimiters = [256]bool{',': true, ']': true, '}': true, ' ': true, '\t': true, '\r': true, '\n': true} //nolint:gochecknoglobals // a table

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
