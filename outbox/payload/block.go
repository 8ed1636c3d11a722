package payload

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// blockSize is how many bytes of a document are looked at together: a bit of a word for each.
const blockSize = 64

// blocks walks through a document from a place outside a string, and stops at blocks in which
// something is outside all brackets that opened on the way: a bracket, or the place that is looked
// for. What it knows of the block at doc[at] where it stopped is where strings begin, and which
// bytes are brackets outside strings.
//
// The way to find strings without a look at each byte is that of Langdale and Lemire, "Parsing
// Gigabytes of JSON per Second" (2019): a quote counts unless an odd number of backslashes is
// before it, and whether a byte is in a string is the parity of the quotes up to it.
type blocks struct {
	doc      []byte
	quoted   []byte // what is looked for; nil: nothing
	wanted   int    // the next place where it stands; Absent: none
	pos      int    // of the next block
	inString uint64 // all ones: pos is in a string
	escaped  uint64 // 1: an odd number of backslashes is before pos

	at                     int
	depth                  int // of brackets at doc[at]; who goes on keeps it
	strings, opens, closes uint64
}

// next goes to the next block with something outside all brackets. It is false at the end of the
// document.
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
		if b.opens|b.closes|b.place() != 0 {
			return true
		}
		if b.inString != 0 && b.escaped == 0 {
			b.pos = nextQuote(b.doc, min(b.pos, len(b.doc)))
			b.seek(b.pos)
		}
	}
	return false
}

// seek moves what is wanted to doc[pos] or behind it.
func (b *blocks) seek(pos int) {
	if b.wanted == Absent || b.wanted >= pos {
		return
	}
	b.wanted = Absent
	if i := bytes.Index(b.doc[pos:], b.quoted); i >= 0 {
		b.wanted = pos + i
	}
}

// place returns the byte of the block at doc[at] that is wanted.
func (b *blocks) place() uint64 {
	if i := b.wanted - b.at; i >= 0 && i < blockSize {
		return 1 << i
	}
	return 0
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

// walk walks through the blocks of text, those from pos on, to the one where next stops. It returns
// how many that were; those of a long string end the walk too, and what it found is then nothing.
func (b *blocks) walk(text []byte) (walked int) {
	plain := 0 // blocks from here on that are known to have no backslash
	for quiet := 0; len(text) >= blockSize; quiet++ {
		var w words
		w.load((*[blockSize]byte)(text))
		text = text[blockSize:]
		walked++
		allQuotes := w.find(ones * '"')
		quotes := allQuotes
		if plain--; plain < 0 {
			backslashes := w.find(ones * '\\')
			if backslashes|b.escaped != 0 {
				quotes &^= b.escapes(backslashes)
				quiet = 0
			} else if quiet >= 4 {
				plain, quiet = plainBlocks(text), 0
			}
		}
		inside := parity(quotes) ^ b.inString
		b.inString = uint64(int64(inside) >> 63) //nolint:gosec // The sign is what is wanted.
		b.strings, b.opens, b.closes = quotes&inside, 0, 0
		brackets := w.brackets() &^ inside
		if brackets != 0 {
			b.closes = brackets & w.closing()
			b.opens = brackets &^ b.closes
		}
		if b.depth == 0 && b.pos+(walked-1)*blockSize <= b.wanted && b.wanted < b.pos+walked*blockSize {
			return walked
		}
		if brackets != 0 && !b.deeper() {
			return walked
		}
		if inside == ^uint64(0) && b.escaped == 0 && allQuotes == 0 {
			break
		}
	}
	b.opens, b.closes = 0, 0
	return walked
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

// plainBlocks returns how many whole blocks of text come before its first backslash.
func plainBlocks(text []byte) int {
	if i := bytes.IndexByte(text, '\\'); i >= 0 {
		return i / blockSize
	}
	return len(text) / blockSize
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

// words are the bytes of a block, eight to a word, the first one lowest. What is done with them is
// written out for each: loops and shifts by what they count take half as long again.
type words [blockSize / 8]uint64

func (w *words) load(block *[blockSize]byte) {
	w[0], w[1] = binary.LittleEndian.Uint64(block[0:]), binary.LittleEndian.Uint64(block[8:])
	w[2], w[3] = binary.LittleEndian.Uint64(block[16:]), binary.LittleEndian.Uint64(block[24:])
	w[4], w[5] = binary.LittleEndian.Uint64(block[32:]), binary.LittleEndian.Uint64(block[40:])
	w[6], w[7] = binary.LittleEndian.Uint64(block[48:]), binary.LittleEndian.Uint64(block[56:])
}

// find finds a byte, given eight times as all.
func (w *words) find(all uint64) uint64 {
	return zeros(w[0]^all) | zeros(w[1]^all)<<8 | zeros(w[2]^all)<<16 | zeros(w[3]^all)<<24 |
		zeros(w[4]^all)<<32 | zeros(w[5]^all)<<40 | zeros(w[6]^all)<<48 | zeros(w[7]^all)<<56
}

// brackets finds the bytes that are brackets. Outside strings no other bytes of JSON are taken for
// one: within them y is.
func (w *words) brackets() uint64 {
	return zeros(bracket(w[0])) | zeros(bracket(w[1]))<<8 | zeros(bracket(w[2]))<<16 | zeros(bracket(w[3]))<<24 |
		zeros(bracket(w[4]))<<32 | zeros(bracket(w[5]))<<40 | zeros(bracket(w[6]))<<48 | zeros(bracket(w[7]))<<56
}

// bracket makes the brackets of a word zero: [ and ] are { and } without the bit of 0x20, and these
// differ in those of 0x06.
func bracket(word uint64) uint64 {
	return ((word | ones*0x20) ^ ones*'{') &^ (ones * 0x06)
}

// closing finds which brackets close: they have the bit of 0x04.
func (w *words) closing() uint64 {
	return gathered(w[0]>>2&ones) | gathered(w[1]>>2&ones)<<8 | gathered(w[2]>>2&ones)<<16 | gathered(w[3]>>2&ones)<<24 |
		gathered(w[4]>>2&ones)<<32 | gathered(w[5]>>2&ones)<<40 | gathered(w[6]>>2&ones)<<48 | gathered(w[7]>>2&ones)<<56
}

const ones = 0x0101010101010101

// zeros returns a bit for each byte of word, the first one lowest: whether it is zero.
func zeros(word uint64) uint64 {
	const lows, highs = 0x7f * ones, 0x80 * ones
	return gathered((^((word&lows + lows) | word) & highs) >> 7)
}

// gathered returns the lowest bits of the eight bytes of word, which has no others, as one byte.
func gathered(word uint64) uint64 {
	return word * 0x0102040810204080 >> 56
}
