package config

import (
	"encoding/binary"
	"math/bits"
)

const (
	// blockSize is how many bytes of a document are looked at together: a bit of a word for each.
	blockSize = 64
	// batchSize is how many blocks are marked in one go, which spares the calls.
	batchSize = 4
)

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

	marked                 [batchSize]marks // of the blocks from pos on, those from next on
	ahead                  int              // how many of them are not used yet, at the end
	at                     int
	strings, opens, closes uint64
}

// next looks at the next block. It is false at the end of the document.
func (b *blocks) next() bool {
	if b.pos >= len(b.doc) {
		return false
	}
	if b.ahead == 0 {
		b.look()
	}
	m := &b.marked[batchSize-b.ahead]
	b.ahead--
	b.at = b.pos
	b.pos += blockSize
	quotes := m.quotes
	if m.backslashes|b.escaped != 0 {
		quotes &^= b.escapes(m.backslashes)
	}
	inside := parity(quotes) ^ b.inString
	b.inString = uint64(int64(inside) >> 63) //nolint:gosec // The sign is what is wanted.
	b.strings, b.opens, b.closes = quotes&inside, m.opens&^inside, m.closes&^inside
	if inside == ^uint64(0) && b.escaped == 0 {
		// A long string: there is a quicker way to its end.
		b.inString, b.ahead = 0, 0
		if b.pos = stringRest(b.doc, min(b.pos, len(b.doc))); b.pos == absent {
			b.pos = len(b.doc)
		}
	}
	return true
}

// look marks the next blocks.
func (b *blocks) look() {
	rest := b.doc[b.pos:]
	n := min(len(rest)/blockSize, batchSize)
	if n > 0 {
		b.ahead = n
		mark(rest, b.marked[batchSize-n:])
		return
	}
	var last [blockSize]byte // zeros are of no interest
	copy(last[:], rest)
	b.ahead = 1
	mark(last[:], b.marked[batchSize-1:])
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

// closing gives which bracket of the block closes the outermost of so many open ones; absent: none does.
func (b *blocks) closing(depth int) int {
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

// deeper is how many brackets more are open behind the block than before it.
func (b *blocks) deeper() int { return bits.OnesCount64(b.opens) - bits.OnesCount64(b.closes) }

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
func markPortably(text []byte, found []marks) {
	for b := range found {
		var m marks
		for i := 0; i < blockSize; i += 8 {
			word := binary.LittleEndian.Uint64(text[b*blockSize+i:])
			m.quotes |= equal(word, '"') << i
			m.backslashes |= equal(word, '\\') << i
			// '[' and ']' are '{' and '}' without the bit of 0x20.
			m.opens |= equal(word|ones*0x20, '{') << i
			m.closes |= equal(word|ones*0x20, '}') << i
		}
		found[b] = m
	}
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
