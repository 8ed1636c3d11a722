package payload

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// blockSize is how many bytes of a document are looked at together: a bit of a word for each.
const blockSize = 64

// blocks walks through a document from a place outside a string, and stops at blocks in which
// something is outside all brackets that opened on the way: a bracket, or a string that may be the
// name that is looked for. What it knows of the block at doc[at] where it stopped is where such
// strings begin, and which bytes are brackets outside strings.
//
// The way to find strings without a look at each byte is that of Langdale and Lemire, "Parsing
// Gigabytes of JSON per Second" (2019): a quote counts unless an odd number of backslashes is
// before it, and whether a byte is in a string is the parity of the quotes up to it.
type blocks struct {
	doc      []byte
	names    bool   // strings are looked for
	first    uint64 // the byte that they begin with, eight times; 0: any
	pos      int    // of the next block
	inString uint64 // all ones: pos is in a string
	escaped  uint64 // 1: an odd number of backslashes is before pos
	plain    int    // no backslash is between pos and there
	noisy    int    // how many blocks without a backslash must come before the next is searched for

	at                     int
	depth                  int // of brackets at doc[at]; who goes on keeps it
	strings, opens, closes uint64
}

// next goes to the next block with something outside all brackets. It is false at the end of the
// document.
func (b *blocks) next() bool {
	for b.pos < len(b.doc) {
		rest := b.doc[b.pos:]
		if n := len(rest) / blockSize; n > 0 {
			b.walk(rest[:n*blockSize])
		} else {
			var last [blockSize]byte // zeros are of no interest
			copy(last[:], rest)
			b.walk(last[:])
		}
		b.at = b.pos - blockSize
		if b.opens|b.closes|b.strings != 0 {
			return true
		}
		if b.inString != 0 && b.escaped == 0 {
			b.pos = nextQuote(b.doc, min(b.pos, len(b.doc)))
		}
	}
	return false
}

// lookFor makes next stop at strings that may spell name.
func (b *blocks) lookFor(name string) {
	b.names = true
	if name != "" && name[0] < utf8.RuneSelf {
		b.first = ones * uint64(name[0])
	}
}

// nextQuote is the quick way through a long string from doc[at], which is not behind a backslash:
// it returns the offset of the quote at the string's end, or of one (or the backslashes before it)
// that is escaped and close to another, where blocks are quicker; the document's end if there is
// none.
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

// closing returns which bracket of the block closes the outermost of those that are open; Absent:
// none does.
func (b *blocks) closing() int {
	depth := b.depth
	for closes := b.closes; closes != 0; closes &= closes - 1 {
		i := bits.TrailingZeros64(closes)
		if depth--; depth+bits.OnesCount64(b.opens&(1<<i-1)) == 0 {
			return i
		}
	}
	return Absent
}

// walk walks through the blocks of text, those from pos on, to behind the one where next stops, or
// behind one of a long string: then what it found is nothing.
func (b *blocks) walk(text []byte) {
	for len(text) >= blockSize {
		var w words
		w.load((*[blockSize]byte)(text))
		text = text[blockSize:]
		b.pos += blockSize
		allQuotes, backslashes := w.find(ones*'"'), uint64(0)
		quotes := allQuotes
		if b.pos > b.plain {
			backslashes = b.backslashes(&w)
		}
		if backslashes|b.escaped != 0 {
			quotes &^= b.escapes(backslashes)
		}
		inside := parity(quotes) ^ b.inString
		b.inString = uint64(int64(inside) >> 63) //nolint:gosec // The sign is what is wanted.
		b.strings, b.opens, b.closes = 0, 0, 0
		brackets := w.brackets() &^ inside
		if brackets != 0 {
			b.closes = brackets & w.closing()
			b.opens = brackets &^ b.closes
		}
		surface := b.depth == 0 || brackets != 0 && !b.deeper()
		if surface && b.names {
			b.strings = b.candidates(&w, quotes&inside, backslashes)
		}
		if surface && b.opens|b.closes|b.strings != 0 {
			return
		}
		if inside == ^uint64(0) && b.escaped == 0 && allQuotes == 0 {
			break
		}
	}
	b.strings, b.opens, b.closes = 0, 0, 0
}

// backslashes finds those of the block before pos. After some blocks without any it searches for
// the next.
func (b *blocks) backslashes(w *words) uint64 {
	found := w.find(ones * '\\')
	switch {
	case found != 0:
		b.noisy = 4
	case b.noisy > 0:
		b.noisy--
	case b.pos < len(b.doc):
		b.plain = len(b.doc) + blockSize // the last block ends behind the document
		if i := bytes.IndexByte(b.doc[b.pos:], '\\'); i >= 0 {
			b.plain = b.pos + i
		}
	}
	return found
}

// candidates returns the strings of a block that may spell the name that is looked for: they begin
// as it does, or with an escape.
func (b *blocks) candidates(w *words, strings, backslashes uint64) uint64 {
	if strings == 0 || b.first == 0 {
		return strings
	}
	const last = 1 << (blockSize - 1) // what it begins with is in the next block
	return strings & ((w.find(b.first)|backslashes)>>1 | last)
}

// deeper goes on behind the brackets of a block, if it stays within others all the time.
func (b *blocks) deeper() bool {
	closed := bits.OnesCount64(b.closes)
	if b.depth == 0 || closed >= b.depth && b.closing() != Absent {
		return false
	}
	b.depth += bits.OnesCount64(b.opens) - closed
	return true
}

// escapes returns the bytes of a block that a backslash escapes. Of a run of backslashes every
// second one escapes the byte after it: adding the starts of runs at odd places to the runs carries
// a bit out of each, whose place tells the run's length from even to odd.
func (b *blocks) escapes(backslashes uint64) uint64 {
	const even = 0x5555555555555555
	backslashes &^= b.escaped
	after := backslashes<<1 | b.escaped
	oddStarts := backslashes &^ even &^ after
	var sum uint64
	sum, b.escaped = bits.Add64(oddStarts, backslashes, 0)
	return (even ^ sum<<1) & after
}

// parity returns the bits that have an odd number of bits up to and with themselves.
func parity(x uint64) uint64 {
	x ^= x << 1
	x ^= x << 2
	x ^= x << 4
	x ^= x << 8
	x ^= x << 16
	return x ^ x<<32
}

// words are the bytes of a block, eight to a word, the first one lowest, without their highest
// bits. What is done with them is written out for each: loops and shifts by what they count take
// half as long again.
type words struct {
	w     [blockSize / 8]uint64
	ascii uint64 // the bytes whose highest bit was not set
}

func (w *words) load(block *[blockSize]byte) {
	w.w[0], w.w[1] = binary.LittleEndian.Uint64(block[0:]), binary.LittleEndian.Uint64(block[8:])
	w.w[2], w.w[3] = binary.LittleEndian.Uint64(block[16:]), binary.LittleEndian.Uint64(block[24:])
	w.w[4], w.w[5] = binary.LittleEndian.Uint64(block[32:]), binary.LittleEndian.Uint64(block[40:])
	w.w[6], w.w[7] = binary.LittleEndian.Uint64(block[48:]), binary.LittleEndian.Uint64(block[56:])
	w.ascii = ^uint64(0)
	if (w.w[0]|w.w[1]|w.w[2]|w.w[3]|w.w[4]|w.w[5]|w.w[6]|w.w[7])&highs != 0 {
		w.mask()
	}
}

// mask removes the highest bits, and remembers which bytes had none.
func (w *words) mask() {
	var m uint64
	for i, x := range w.w {
		m = m>>1 | x&highs
		w.w[i] = x &^ highs
	}
	w.ascii = ^inOrder(m)
}

// find finds an ASCII byte, given eight times as all. Adding lows to a byte without its highest bit
// sets that bit unless the byte is zero.
func (w *words) find(all uint64) uint64 {
	x := ((w.w[0] ^ all) + lows) & highs
	x = x>>1 | ((w.w[1]^all)+lows)&highs
	x = x>>1 | ((w.w[2]^all)+lows)&highs
	x = x>>1 | ((w.w[3]^all)+lows)&highs
	x = x>>1 | ((w.w[4]^all)+lows)&highs
	x = x>>1 | ((w.w[5]^all)+lows)&highs
	x = x>>1 | ((w.w[6]^all)+lows)&highs
	x = x>>1 | ((w.w[7]^all)+lows)&highs
	return w.ascii &^ inOrder(x)
}

// brackets finds the bytes that are brackets. Outside strings no other bytes of JSON are taken for
// one: within them y is.
func (w *words) brackets() uint64 {
	x := (bracket(w.w[0]) + lows) & highs
	x = x>>1 | (bracket(w.w[1])+lows)&highs
	x = x>>1 | (bracket(w.w[2])+lows)&highs
	x = x>>1 | (bracket(w.w[3])+lows)&highs
	x = x>>1 | (bracket(w.w[4])+lows)&highs
	x = x>>1 | (bracket(w.w[5])+lows)&highs
	x = x>>1 | (bracket(w.w[6])+lows)&highs
	x = x>>1 | (bracket(w.w[7])+lows)&highs
	return w.ascii &^ inOrder(x)
}

// bracket makes the brackets of a word zero: [ and ] are { and } without the bit of 0x20, and these
// differ in those of 0x06.
func bracket(word uint64) uint64 {
	return ((word | ones*0x20) ^ ones*'{') &^ (ones * 0x06)
}

// closing finds which brackets close: they have the bit of 0x04.
func (w *words) closing() uint64 {
	const bit = ones * 0x04
	return inOrder(
		w.w[0]&bit>>2 | w.w[1]&bit>>1 | w.w[2]&bit | w.w[3]&bit<<1 | w.w[4]&bit<<2 | w.w[5]&bit<<3 | w.w[6]&bit<<4 | w.w[7]&bit<<5)
}

const (
	ones  = 0x0101010101010101
	lows  = 0x7f * ones
	highs = 0x80 * ones
)

// inOrder brings the bits of a block's bytes into their order: bit 8j+i, of byte j of word i, comes
// to 8i+j. It transposes a matrix of 8 by 8 bits (Warren, Hacker's Delight, 7-3).
func inOrder(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}
