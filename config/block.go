package config

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// blockSize is how many bytes of a document are looked at together: a bit of a word for each.
const blockSize = 64

// blocks walks through a document from a place outside a string, and stops at blocks in which something is outside all brackets
// that opened on the way: a string that may begin with two given bytes, or a bracket. What it knows of the block at doc[at]
// where it stopped is where such strings begin, and which bytes are brackets outside strings.
//
// The way to find strings without a look at each byte is that of Langdale and Lemire, "Parsing Gigabytes of JSON per Second"
// (2019): a quote counts unless an odd number of backslashes is before it, and whether a byte is in a string is the parity of
// the quotes up to it.
type blocks struct {
	doc           []byte
	first, second byte   // the bytes behind the quote
	pos           int    // of the next block
	inString      uint64 // all ones: pos is in a string
	escaped       uint64 // 1: an odd number of backslashes is before pos

	at                     int
	depth                  int // of brackets at doc[at]; who goes on keeps it
	strings, opens, closes uint64
}

// next goes to the next block with something outside all brackets. It is false at the end of the document.
func (b *blocks) next() bool {
	for b.pos < len(b.doc) {
		rest := b.doc[b.pos:]
		var walked int
		if n := len(rest) / blockSize; n > 0 {
			walked = b.walk(rest[:n*blockSize])
		} else {
			var last [blockSize]byte // zeros are of no interest
			copy(last[:], rest)
			walked = b.walk(last[:])
		}
		b.pos += walked * blockSize
		b.at = b.pos - blockSize
		if b.strings|b.opens|b.closes != 0 {
			return true
		}
		if b.inString != 0 && b.escaped == 0 {
			b.pos = nextQuote(b.doc, min(b.pos, len(b.doc)))
		}
	}
	return false
}

// nextQuote is the quick way through a long string from doc[at], which is not behind a backslash: it gives the offset of the
// quote at the string's end, or of one (or the backslashes before it) that is escaped and close to another, where blocks are
// quicker; the document's end if there is none.
func nextQuote(doc []byte, at int) int {
	for pos := at; ; {
		i := bytes.IndexByte(doc[pos:], '"')
		if i < 0 {
			return len(doc)
		}
		quote := pos + i
		first := quote
		for first > pos && doc[first-1] == '\\' {
			first--
		}
		if (quote-first)%2 == 0 || i < blockSize && pos > at {
			return first
		}
		pos = quote + 1
	}
}

// closing gives which bracket of the block closes the outermost of those that are open; absent: none does.
func (b *blocks) closing() int {
	depth := b.depth
	if bits.OnesCount64(b.closes) < depth {
		return absent
	}
	for closes := b.closes; closes != 0; closes &= closes - 1 {
		i := bits.TrailingZeros64(closes)
		if depth--; depth+bits.OnesCount64(b.opens&(1<<i-1)) == 0 {
			return i
		}
	}
	return absent
}

// walkPortably is walk without help of the processor.
func (b *blocks) walkPortably(text []byte) (walked int) {
	for len(text) >= blockSize {
		block := (*[blockSize]byte)(text)
		text = text[blockSize:]
		walked++
		allQuotes, backslashes, opens, closes := markPortably(block)
		quotes := allQuotes
		if backslashes|b.escaped != 0 {
			quotes &^= b.escapes(backslashes)
		}
		inside := parity(quotes) ^ b.inString
		b.inString = uint64(int64(inside) >> 63) //nolint:gosec // The sign is what is wanted.
		b.strings, b.opens, b.closes = quotes&inside, opens&^inside, closes&^inside
		if b.depth == 0 || b.closing() != absent {
			firsts, seconds := findPortably(block, b.first, b.second)
			// What follows the last two bytes is in the next block.
			b.strings &= (firsts>>1 | 1<<63) & (seconds>>2 | 3<<62)
			if b.strings|b.opens|b.closes != 0 {
				return walked
			}
		}
		b.depth += bits.OnesCount64(b.opens) - bits.OnesCount64(b.closes)
		if inside == ^uint64(0) && b.escaped == 0 && allQuotes == 0 {
			break
		}
	}
	b.strings, b.opens, b.closes = 0, 0, 0
	return walked
}

// escapes gives the bytes of a block that a backslash escapes. Of a run of backslashes every second one escapes the byte after
// it: adding the starts of runs at odd places to the runs carries a bit out of each, whose place tells the run's length from
// even to odd.
func (b *blocks) escapes(backslashes uint64) uint64 {
	const even = 0x5555555555555555
	backslashes &^= b.escaped
	after := backslashes<<1 | b.escaped
	oddStarts := backslashes &^ even &^ after
	var sum uint64
	sum, b.escaped = bits.Add64(oddStarts, backslashes, 0)
	return (even ^ sum<<1) & after
}

// parity gives the bits that have an odd number of bits up to and with themselves.
func parity(x uint64) uint64 {
	x ^= x << 1
	x ^= x << 2
	x ^= x << 4
	x ^= x << 8
	x ^= x << 16
	return x ^ x<<32
}

// markPortably finds the bytes of a block that are of interest, eight at a time.
func markPortably(block *[blockSize]byte) (quotes, backslashes, opens, closes uint64) {
	for i := 0; i < blockSize; i += 8 {
		word := binary.LittleEndian.Uint64(block[i:])
		quotes |= equal(word, '"') << i
		backslashes |= equal(word, '\\') << i
		// '[' and ']' are '{' and '}' without the bit of 0x20.
		opens |= equal(word|ones*0x20, '{') << i
		closes |= equal(word|ones*0x20, '}') << i
	}
	return quotes, backslashes, opens, closes
}

// findPortably finds two bytes in a block.
func findPortably(block *[blockSize]byte, first, second byte) (firsts, seconds uint64) {
	for i := 0; i < blockSize; i += 8 {
		word := binary.LittleEndian.Uint64(block[i:])
		firsts |= equal(word, first) << i
		seconds |= equal(word, second) << i
	}
	return firsts, seconds
}

const ones = 0x0101010101010101

// equal gives a bit for each byte of word, the first one lowest: whether it is b.
func equal(word uint64, b byte) uint64 {
	const lows, highs = 0x7f * ones, 0x80 * ones
	word ^= ones * uint64(b)
	found := ^((word&lows + lows) | word) & highs
	// The product gathers the eight bits in its highest byte.
	return found >> 7 * 0x0102040810204080 >> 56
}
