package payload

import (
	"encoding/binary"
	"encoding/json"
)

// jsonWords is how deep Valid itself follows nesting, in words of 64 levels. Deeper documents are
// rare.
const jsonWords = 8

// jsonState says how a JSON document may continue.
type jsonState uint8

const (
	jsonValue      jsonState = iota // a value
	jsonFirstValue                  // a value, or the end of an empty array
	jsonFirstKey                    // a key, or the end of an empty object
	jsonKey                         // a key
	jsonNext                        // a comma or the end of the innermost array or object
)

// jsonNesting is the arrays and objects that are open: one bit per level, set for an object.
type jsonNesting struct {
	objects [jsonWords]uint64
	depth   int
}

func (n *jsonNesting) open(object bool) {
	word, bit := &n.objects[n.depth/64], uint64(1)<<(n.depth%64)
	*word &^= bit
	if object {
		*word |= bit
	}
	n.depth++
}

// inObject says what the innermost level is.
func (n *jsonNesting) inObject() bool {
	at := n.depth - 1
	return n.objects[at/64]>>(at%64)&1 == 1
}

// Valid reports whether b is one JSON value. It agrees with json.Valid in about a fifth of the
// time: every attempt needs the answer, and most of a payload is text that can be skipped eight
// bytes at a time.
func Valid(b []byte) bool {
	var nesting jsonNesting
	state := jsonValue
	for i := skipBlanks(b, 0); i < len(b); i = skipBlanks(b, i) {
		if nesting.depth == jsonWords*64 {
			return json.Valid(b)
		}
		if i, state = nesting.step(b, i, state); i < 0 {
			return false
		}
	}
	return state == jsonNext && nesting.depth == 0
}

// step takes the next key with its colon, scalar, bracket or comma. It returns where it ends, -1 if
// it may not stand there.
func (n *jsonNesting) step(b []byte, i int, state jsonState) (int, jsonState) {
	switch c := b[i]; {
	case state == jsonKey, state == jsonFirstKey && c != '}':
		return skipKey(b, i), jsonValue
	case state == jsonValue, state == jsonFirstValue && c != ']':
		return n.value(b, i)
	case n.depth == 0: // something after the value
		return -1, jsonNext
	default:
		return n.next(c, i, state)
	}
}

// value enters an array or object, or skips any other value.
func (n *jsonNesting) value(b []byte, i int) (int, jsonState) {
	switch b[i] {
	case '{':
		n.open(true)
		return i + 1, jsonFirstKey
	case '[':
		n.open(false)
		return i + 1, jsonFirstValue
	}
	return skipScalar(b, i), jsonNext
}

// next takes the comma or the end that c should be. Where a first key or value was possible, c is
// the end.
func (n *jsonNesting) next(c byte, i int, state jsonState) (int, jsonState) {
	object := n.inObject()
	switch {
	case c == ',' && state == jsonNext && object:
		return i + 1, jsonKey
	case c == ',' && state == jsonNext:
		return i + 1, jsonValue
	case c == '}' && object, c == ']' && !object:
		n.depth--
		return i + 1, jsonNext
	}
	return -1, jsonNext
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipKey skips an object's key and its colon; -1 says that there is none.
func skipKey(b []byte, i int) int {
	if b[i] != '"' {
		return -1
	}
	if i = skipString(b, i+1); i < 0 {
		return -1
	}
	if i = skipBlanks(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

// skipScalar skips a string, a number, true, false or null; -1 says that there is none.
func skipScalar(b []byte, i int) int {
	switch c := b[i]; {
	case c == '"':
		return skipString(b, i+1)
	case c == '-' || '0' <= c && c <= '9':
		return skipNumber(b, i)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	return -1
}

// skipString skips the rest of a string, its closing quote included.
func skipString(b []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, escape := w^(ones*'"'), w^(ones*'\\')
			// Each term has the high bit of a byte set if the byte, or one below it, is the one
			// looked for.
			if ((quote-ones)&^quote|(escape-ones)&^escape|(w-ones*' ')&^w)&highs != 0 {
				break
			}
			i += 8
		}
		for ; i < len(b) && b[i] != '"' && b[i] != '\\'; i++ {
			if b[i] < ' ' {
				return -1
			}
		}
		switch {
		case i == len(b):
			return -1
		case b[i] == '"':
			return i + 1
		}
		if i = skipEscape(b, i+1); i < 0 {
			return -1
		}
	}
}

func skipEscape(b []byte, i int) int {
	if i == len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		const digits = 4
		if len(b)-i <= digits {
			return -1
		}
		for _, c := range b[i+1 : i+1+digits] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return -1
			}
		}
		return i + 1 + digits
	}
	return -1
}

func skipNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return skipDigits(b, i)
	}
	return i
}

// skipDigits skips one digit or more.
func skipDigits(b []byte, i int) int {
	start := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
