package config

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
)

// The scanner finds one value in a JSON document without decoding the rest: it looks for a member's quoted name, and
// counts brackets and quotes, eight bytes at a time, to know whether that name stands where the path wants it. Of a
// name that occurs twice in one object the first counts. Documents that are not JSON give some answer, never a panic.

const absent = -1 // offset of what is not there

// step is one step of a path: a member's name, or an element's index.
type step struct {
	name   string
	quoted []byte // the name as JSON usually writes it; nil where writers differ, and each name must be decoded
	index  int    // absent: a member
}

// memberStep makes the step to a member.
func memberStep(name string) step {
	s := step{name: name, index: absent}
	if strings.IndexFunc(name, func(r rune) bool { return !plainRune(r) }) < 0 {
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
// It looks at the names of this object only, and leaps over brackets within it.
func memberQuoted(doc []byte, at int, quoted []byte) int {
	head := load(quoted)
	mask := ^uint64(0) >> (64 - 8*min(len(quoted), 8))
	for pos := at + 1; pos < len(doc); {
		var inString uint64
		if pos, inString = seek(doc, pos, head, mask); inString != 0 {
			if pos = stringRest(doc, pos); pos == absent {
				return absent
			}
		}
		var value int
		if pos, value = memberNear(doc, pos, quoted); pos == absent {
			return value
		}
	}
	return absent
}

// memberNear is memberQuoted for the eight bytes from doc[pos] on, byte by byte. Next is where to go on; absent if the value
// was found, or the object has ended without it.
func memberNear(doc []byte, pos int, quoted []byte) (next, value int) {
	for stop := min(pos+8, len(doc)); pos < stop; pos++ {
		switch doc[pos] {
		case '"':
			if v := memberValue(doc, pos, quoted); v != absent {
				return absent, v
			}
			if pos = stringEnd(doc, pos); pos == absent {
				return absent, absent
			}
			pos--
		case '}', ']':
			return absent, absent
		case '{', '[':
			return bracketEnd(doc, pos), absent // on with whole words from there
		}
	}
	return pos, absent
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
	return stringRest(doc, at+1)
}

// stringRest is stringEnd from a place inside the string that is not behind a backslash.
func stringRest(doc []byte, at int) int {
	for pos := at; pos <= len(doc); {
		i := bytes.IndexByte(doc[pos:], '"')
		if i < 0 {
			return absent
		}
		quote := pos + i
		first := quote
		for first > at && doc[first-1] == '\\' {
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

const (
	ones  = 0x0101010101010101
	lows  = 0x7f7f7f7f7f7f7f7f
	highs = 0x8080808080808080

	longRun = 6 // words inside a string, one after the other, that make it worth a search for its end

	within = 0x80 // the state of a scan inside a string: a quote before the first byte; outside it is 0
)

// has reports whether any byte of word is b.
func has(word uint64, b byte) bool {
	word ^= ones * uint64(b)
	return (word-ones)&^word&highs != 0
}

// load gives the first eight bytes of b, the first one lowest, and zeros after its end.
func load(b []byte) uint64 {
	var first [8]byte
	copy(first[:], b)
	return binary.LittleEndian.Uint64(first[:])
}

// equal gives the high bit of every byte of word that is b.
func equal(word uint64, b byte) uint64 {
	word ^= ones * uint64(b)
	return ^(((word & lows) + lows) | word) & highs
}

// parity gives the high bit of every byte that has an odd number of quotes up to and with itself.
func parity(quotes uint64) uint64 {
	quotes ^= quotes << 8
	quotes ^= quotes << 16
	return quotes ^ quotes<<32
}

// seek goes on from doc[pos], eight bytes at a time, until less than eight are left or the word wants a closer look: it
// holds a bracket, a string that begins with head, or escapes that are not each alone. It calls nothing, so that all it
// knows stays in registers.
func seek(doc []byte, pos int, head, mask uint64) (next int, inString uint64) {
	run := 0
	for ; len(doc)-pos >= 16; pos += 8 {
		two := doc[pos : pos+16]
		word := binary.LittleEndian.Uint64(two)
		quotes := equal(word, '"')
		if has(word, '\\') {
			escapes := equal(word, '\\')
			if escapes&(escapes<<8)|escapes>>63 != 0 {
				break
			}
			quotes &^= escapes << 8
		}
		inside := parity(quotes ^ inString)
		found := equal(word|ones*0x26, 0x7f) &^ inside
		after := binary.LittleEndian.Uint64(two[8:])
		for opening := quotes & inside; opening != 0; opening &= opening - 1 {
			shift := uint(bits.TrailingZeros64(opening)) &^ 7
			// The eight bytes from this quote on; a shift by 64 gives 0.
			if ((word>>shift|after<<(64-shift))^head)&mask == 0 {
				found = opening
			}
		}
		if found != 0 {
			break
		}
		if inside != highs {
			run = 0
		} else if run++; run == longRun {
			return pos + 8, within
		}
		inString = inside >> 56
	}
	return pos, inString
}

// bracketEnd gives the offset after the bracket that closes the one at doc[at], or absent.
func bracketEnd(doc []byte, at int) int {
	pos, depth := at+1, 1
	for depth > 0 && pos != absent && pos < len(doc) {
		var inString uint64
		if pos, depth, inString = leap(doc, pos, depth); inString != 0 {
			if pos = stringRest(doc, pos); pos == absent {
				return absent
			}
		}
		pos, depth = crawl(doc, pos, depth)
	}
	if depth > 0 {
		return absent
	}
	return pos
}

// crawl is leap for the eight bytes from doc[pos] on, byte by byte. It stops behind the last closing bracket. Next is absent
// if the document ends inside a string.
func crawl(doc []byte, pos, depth int) (next, nextDepth int) {
	for stop := min(pos+8, len(doc)); pos < stop && depth > 0; pos++ {
		switch doc[pos] {
		case '"':
			if pos = stringEnd(doc, pos); pos == absent {
				return absent, depth
			}
			pos--
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return pos, depth
}

// leap goes on from doc[pos], eight bytes at a time, until less than eight are left or the word wants a closer look: it
// may close the last of depth open brackets, or holds escapes that are not each alone. It calls nothing, like seek.
func leap(doc []byte, pos, depth int) (nextPos, nextDepth int, inString uint64) {
	run := 0
	for ; len(doc)-pos >= 8; pos += 8 {
		word := binary.LittleEndian.Uint64(doc[pos : pos+8])
		quotes := equal(word, '"')
		if has(word, '\\') {
			escapes := equal(word, '\\')
			if escapes&(escapes<<8)|escapes>>63 != 0 {
				break
			}
			quotes &^= escapes << 8
		}
		inside := parity(quotes ^ inString)
		// The four brackets are, with the bits 0x26 set, 0x7f; so are Y, _, y and DEL, which stand in strings only.
		if brackets := equal(word|ones*0x26, 0x7f) &^ inside; brackets != 0 {
			closing := bits.OnesCount64(brackets & (word << 5))
			if depth <= closing {
				break
			}
			depth += bits.OnesCount64(brackets&(word<<6)) - closing
		}
		if inside != highs {
			run = 0
		} else if run++; run == longRun {
			return pos + 8, depth, within
		}
		inString = inside >> 56
	}
	return pos, depth, inString
}
