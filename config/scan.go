package config

import (
	"bytes"
	"encoding/json"
	"math/bits"
	"strings"
)

// What follows finds one value in a JSON document without decoding the rest: it looks for a member's quoted name, and
// counts brackets outside strings, 64 bytes at a time (see blocks), to know whether that name stands where the path wants
// it. Of a name that occurs twice in one object the first counts. Documents that are not JSON give some answer, never a
// panic.

const absent = -1 // offset of what is not there

// step is one step of a path: a member's name, or an element's index.
type step struct {
	name   string
	quoted []byte // the name as JSON usually writes it; nil where writers differ or it is empty: each name must be decoded
	index  int    // absent: a member
}

// memberStep makes the step to a member.
func memberStep(name string) step {
	s := step{name: name, index: absent}
	if name != "" && strings.IndexFunc(name, func(r rune) bool { return !plainRune(r) }) < 0 {
		s.quoted = []byte(`"` + name + `"`)
	}
	return s
}

// plainRune reports whether every JSON writer that is not perverse writes r as itself.
func plainRune(r rune) bool {
	return r >= ' ' && r < 0x7f && !strings.ContainsRune(`"\/<>&'`, r)
}

// locate gives the offset of the value at path, or absent.
func locate(doc []byte, path []step) int {
	at := skipSpace(doc, 0)
	for i := range path {
		if at == absent || at >= len(doc) {
			return absent
		}
		at = path[i].from(doc, at)
	}
	if at >= len(doc) {
		return absent
	}
	return at
}

// from gives the offset of the value that the step leads to from the value at doc[at].
func (s *step) from(doc []byte, at int) int {
	switch {
	case doc[at] == '[' && s.index != absent:
		return element(doc, at, s.index)
	case doc[at] != '{' || s.index != absent:
		return absent
	case s.quoted == nil:
		return memberDecoded(doc, at, s.name)
	}
	v := memberQuoted(doc, at, s.quoted)
	if v == absent && bytes.Contains(doc[at:], []byte(`\u`)) {
		return memberDecoded(doc, at, s.name)
	}
	return v
}

// memberQuoted gives the offset of the value of the member whose name is written as quoted, in the object at doc[at].
func memberQuoted(doc []byte, at int, quoted []byte) int {
	var b blocks // a literal would be made elsewhere and copied, which small documents feel
	b.doc, b.pos, b.first, b.second = doc, at+1, quoted[1], quoted[2]
	for b.next() {
		for events := b.strings | b.opens | b.closes; events != 0; events &= events - 1 {
			i := bits.TrailingZeros64(events)
			switch bit := uint64(1) << i; {
			case b.opens&bit != 0:
				b.depth++
			case b.closes&bit != 0:
				if b.depth--; b.depth < 0 {
					return absent
				}
			case b.depth == 0:
				if v := memberValue(doc, b.at+i, quoted); v != absent {
					return v
				}
			}
		}
	}
	return absent
}

// memberValue gives the offset of the value of the member whose quoted name is at doc[pos], or absent if it is not.
func memberValue(doc []byte, pos int, quoted []byte) int {
	if !bytes.HasPrefix(doc[pos:], quoted) {
		return absent
	}
	if colon := skipSpace(doc, pos+len(quoted)); colon < len(doc) && doc[colon] == ':' {
		return skipSpace(doc, colon+1)
	}
	return absent
}

// memberDecoded is memberQuoted for names that may be written with escapes.
func memberDecoded(doc []byte, at int, name string) int {
	for pos := skipSpace(doc, at+1); pos < len(doc) && doc[pos] == '"'; pos = skipSpace(doc, pos+1) {
		end := stringEnd(doc, pos)
		if end == absent {
			return absent
		}
		colon := skipSpace(doc, end)
		if colon >= len(doc) || doc[colon] != ':' {
			return absent
		}
		val := skipSpace(doc, colon+1)
		if s, ok := unquote(doc[pos:end]); ok && s == name {
			return val
		}
		pos = valueEnd(doc, val)
		if pos == absent {
			return absent
		}
		pos = skipSpace(doc, pos)
		if pos >= len(doc) || doc[pos] != ',' {
			return absent
		}
	}
	return absent
}

// element gives the offset of element n of the array at doc[at].
func element(doc []byte, at, n int) int {
	pos := skipSpace(doc, at+1)
	for ; pos < len(doc) && doc[pos] != ']'; n-- {
		if n == 0 {
			return pos
		}
		pos = nextElement(doc, pos)
		if pos == absent {
			return absent
		}
	}
	return absent
}

// nextElement gives the offset of the element after the one at doc[pos], or absent.
func nextElement(doc []byte, pos int) int {
	pos = valueEnd(doc, pos)
	if pos == absent {
		return absent
	}
	pos = skipSpace(doc, pos)
	if pos >= len(doc) || doc[pos] != ',' {
		return absent
	}
	if pos = skipSpace(doc, pos+1); pos < len(doc) {
		return pos
	}
	return absent
}

// count gives the number of elements or members of the array or object that doc begins with.
func count(doc []byte) int {
	end := valueEnd(doc, 0)
	if end == absent {
		return absent
	}
	pos := skipSpace(doc, 1)
	if pos == end-1 {
		return 0
	}
	n := 1
	for pos < end {
		switch doc[pos] {
		case '"', '{', '[':
			if pos = valueEnd(doc, pos); pos == absent {
				return absent
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

// valueEnd gives the offset after the value at doc[at], or absent if the document ends before it does.
func valueEnd(doc []byte, at int) int {
	if at >= len(doc) {
		return absent
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
			return absent
		default:
			return at + i
		}
	}
}

// stringEnd gives the offset after the string whose opening quote is doc[at], or absent.
func stringEnd(doc []byte, at int) int {
	for pos := at + 1; pos <= len(doc); {
		i := bytes.IndexByte(doc[pos:], '"')
		if i < 0 {
			return absent
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
	return absent
}

// unquote decodes a JSON string with its quotes.
func unquote(raw []byte) (string, bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// skipSpace gives the offset of the first byte from doc[pos] on that is no white space.
func skipSpace(doc []byte, pos int) int {
	for pos < len(doc) && (doc[pos] == ' ' || doc[pos] == '\n' || doc[pos] == '\t' || doc[pos] == '\r') {
		pos++
	}
	return pos
}

// bracketEnd gives the offset after the bracket that closes the one at doc[at], or absent.
func bracketEnd(doc []byte, at int) int {
	var b blocks
	b.doc, b.pos, b.depth = doc, at+1, 1
	if !b.next() {
		return absent
	}
	return b.at + b.closing() + 1
}
