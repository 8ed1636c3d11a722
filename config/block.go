package config

import (
	"encoding/binary"
	"math/bits"
)

// blockSize is how many bytes of a document are looked at together: a bit of a word for each.
const blockSize = 64

// marks says by bits which bytes of a block are of interest, the first byte lowest.
type marks struct{ quotes, backslashes, opens, closes uint64 }

// blocks walks through a document from a place outside a string. What it knows of the block at doc[at] is which bytes begin a
// string, and which are brackets outside strings.
//
// The way to find strings without a look at each byte is that of Langdale and Lemire, "Parsing Gigabytes of JSON per Second"
// (2019): a quote counts unless an odd number of backslashes is before it, and whether a byte is in a string is the parity of
// the quotes up to it.
type blocks struct {
	doc      []byte
	pos      int    // of the next block
	inString uint64 // all ones: pos is in a string
	escaped  uint64 // 1: an odd number of backslashes is before pos

	at                     int
	strings, opens, closes uint64
}

// next looks at the next block. It is false at the end of the document.
func (b *blocks) next() bool {
	if b.pos >= len(b.doc) {
		return false
	}
	b.at = b.pos
	var m marks
	if rest := b.doc[b.pos:]; len(rest) >= blockSize {
		m = mark((*[blockSize]byte)(rest))
	} else {
		var last [blockSize]byte // zeros are of no interest
		copy(last[:], rest)
		m = mark(&last)
	}
	b.pos += blockSize
	if m.backslashes|b.escaped != 0 {
		m.quotes &^= b.escapes(m.backslashes)
	}
	inside := parity(m.quotes) ^ b.inString
	b.inString = uint64(int64(inside) >> 63) //nolint:gosec // The sign is what is wanted.
	b.strings, b.opens, b.closes = m.quotes&inside, m.opens&^inside, m.closes&^inside
	if inside == ^uint64(0) && b.escaped == 0 {
		// A long string: there is a quicker way to its end.
		b.inString = 0
		if b.pos = stringRest(b.doc, min(b.pos, len(b.doc))); b.pos == absent {
			b.pos = len(b.doc)
		}
	}
	return true
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

// beginning gives those of the block's strings that may begin with two bytes: all that do, and hardly any others.
func (b *blocks) beginning(first, second byte) uint64 {
	if len(b.doc)-b.at < blockSize {
		return b.strings
	}
	firsts, seconds := find((*[blockSize]byte)(b.doc[b.at:]), first, second)
	return b.strings & (firsts>>1 | 1<<63) & (seconds>>2 | 3<<62)
}

// findPortably is find without help of the processor.
func findPortably(block *[blockSize]byte, first, second byte) (firsts, seconds uint64) {
	for i := 0; i < blockSize; i += 8 {
		word := binary.LittleEndian.Uint64(block[i:])
		firsts |= equal(word, first) << i
		seconds |= equal(word, second) << i
	}
	return firsts, seconds
}

// markPortably is mark without help of the processor, eight bytes at a time.
func markPortably(block *[blockSize]byte) (m marks) {
	for i := 0; i < blockSize; i += 8 {
		word := binary.LittleEndian.Uint64(block[i:])
		m.quotes |= equal(word, '"') << i
		m.backslashes |= equal(word, '\\') << i
		// '[' and ']' are '{' and '}' without the bit of 0x20.
		m.opens |= equal(word|ones*0x20, '{') << i
		m.closes |= equal(word|ones*0x20, '}') << i
	}
	return m
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
