package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/outbox"
)

const (
	flushSize = 256 << 10 // bytes that are sent in one write
	keepSize  = 1 << 20   // a buffer that one huge payload made larger is not kept
)

// pgwire writes messages of the frontend (the Postgres manual, "Message Formats") into one buffer
// that it reuses. The first error of its writer sticks.
type pgwire struct {
	w     io.Writer
	buf   []byte
	msg   int  // offset of the current message's length
	ascii bool // the database's encoding is not UTF-8: free text must be ASCII
	raw   bool // the database has no encoding: text may be any bytes but NULs
	err   error
}

// pgwireOf returns what writes to a connection as its database wants it.
func pgwireOf(conn *pgconn.PgConn) pgwire {
	encoding := conn.ParameterStatus("server_encoding")
	raw := encoding == "SQL_ASCII"
	return pgwire{w: conn.Conn(), raw: raw, ascii: encoding != "UTF8" && !raw}
}

func (w *pgwire) begin(kind byte) {
	w.buf = append(w.buf, kind)
	w.msg = len(w.buf)
	w.buf = append(w.buf, 0, 0, 0, 0)
}

func (w *pgwire) end() {
	w.patch(w.msg, len(w.buf)-w.msg)
	if len(w.buf) >= flushSize {
		w.flush()
	}
}

func (w *pgwire) flush() {
	if w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
	if cap(w.buf) > keepSize {
		w.buf = nil
	}
}

func (w *pgwire) patch(at, value int) {
	binary.BigEndian.PutUint32(w.buf[at:], uint32(value)) //nolint:gosec // lengths of a batch, bounded by parkBytes and Postgres' own 1 GiB
}

func (w *pgwire) int16(v int16) { w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(v)) } //nolint:gosec // the protocol's two's complement
func (w *pgwire) int32(v int32) { w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(v)) } //nolint:gosec // the protocol's two's complement
func (w *pgwire) int64(v int64) { w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(v)) } //nolint:gosec // the protocol's two's complement

func (w *pgwire) cstring(s string) {
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, 0)
}

// bind starts a Bind of a prepared statement with that many parameters, all in binary. The
// parameters follow, then run.
func (w *pgwire) bind(statement string, params int16) {
	w.begin('B')
	w.cstring("")
	w.cstring(statement)
	w.int16(1)
	w.int16(1)
	w.int16(params)
}

// run ends a Bind and executes it.
func (w *pgwire) run() {
	w.int16(0)
	w.end()
	w.begin('E')
	w.cstring("")
	w.int32(0)
	w.end()
}

func (w *pgwire) sync() {
	w.begin('S')
	w.end()
	w.flush()
}

// The methods below append one value with its length in front, as parameters, elements of arrays
// and fields of binary COPY have it.

func (w *pgwire) null() { w.int32(-1) }

func (w *pgwire) bool(v bool) {
	w.int32(1)
	if v {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
}

func (w *pgwire) int4(v int) {
	w.int32(4)
	w.int32(int32(min(max(v, math.MinInt32), math.MaxInt32)))
}

// int4OrNull writes NULL for 0.
func (w *pgwire) int4OrNull(v int) {
	if v == 0 {
		w.null()
		return
	}
	w.int4(v)
}

func (w *pgwire) int8(v int64) {
	w.int32(8)
	w.int64(v)
}

func (w *pgwire) lsn(v outbox.LSN) {
	w.int8(int64(v)) //nolint:gosec // pg_lsn is unsigned on both sides
}

func (w *pgwire) place(p place) {
	w.int32(6)
	w.buf = binary.BigEndian.AppendUint32(w.buf, p.block)
	w.buf = binary.BigEndian.AppendUint16(w.buf, p.offset)
}

func (w *pgwire) float8(v float64) {
	w.int32(8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, math.Float64bits(v))
}

func (w *pgwire) bytes(v []byte) {
	w.int32(int32(len(v))) //nolint:gosec // Postgres refuses values of 1 GiB and more before they get here
	w.buf = append(w.buf, v...)
}

func (w *pgwire) bytesOrNull(v []byte) {
	if v == nil {
		w.null()
		return
	}
	w.bytes(v)
}

// postgresEpoch is 2000-01-01 UTC in microseconds of Unix time.
const postgresEpoch = 946684800 * 1e6

func (w *pgwire) time(v time.Time) {
	w.int8(v.UnixMicro() - postgresEpoch)
}

// timeOrNull writes NULL for the zero time.
func (w *pgwire) timeOrNull(v time.Time) {
	if v.IsZero() {
		w.null()
		return
	}
	w.time(v)
}

// text writes s, made storable.
func (w *pgwire) text(s string) {
	s = w.storable(s)
	w.int32(int32(len(s))) //nolint:gosec // Postgres refuses values of 1 GiB and more before they get here
	w.buf = append(w.buf, s...)
}

// storable returns s as Postgres can store it: bytes that are not UTF-8 become U+FFFD, where the
// database has an encoding, and NULs are left out.
func (w *pgwire) storable(s string) string {
	switch {
	case w.raw:
		return strings.ReplaceAll(s, "\x00", "")
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	}
	return s
}

// textOrNull writes NULL for the empty string.
func (w *pgwire) textOrNull(s string) {
	if s == "" {
		w.null()
		return
	}
	w.text(s)
}

// free writes text from outside the database, NULL for none.
func (w *pgwire) free(s string) { w.textOrNull(w.known(s)) }

// known returns text from outside the database in characters that it knows: one whose encoding is
// not UTF-8 would refuse the whole batch because of any other.
func (w *pgwire) known(s string) string {
	if w.ascii {
		return toASCII(s)
	}
	return s
}

// freeBytes is free for bytes.
func (w *pgwire) freeBytes(b []byte) {
	switch {
	case len(b) == 0:
		w.null()
	case w.ascii || !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0:
		w.free(string(b))
	default:
		w.bytes(b)
	}
}

// headers writes a JSON object, NULL for none. Characters that the database's encoding may not know
// are escaped.
func (w *pgwire) headers(h map[string]string) {
	if h == nil {
		w.null()
		return
	}
	b, err := json.Marshal(h)
	if err != nil { // a map of strings always has a JSON form
		w.null()
		return
	}
	if w.ascii {
		b = asciiJSON(b)
	}
	w.bytes(b)
}

// terms writes an array of texts, NULL for none.
func (w *pgwire) terms(terms []string) {
	if len(terms) == 0 {
		w.null()
		return
	}
	at := w.array(oidText, len(terms))
	for _, term := range terms {
		w.free(term)
	}
	w.arrayEnd(at)
}

// termsText writes an array of texts as text, for an array of arrays has all of one length. NULL
// for none.
func (w *pgwire) termsText(terms []string) {
	if len(terms) == 0 {
		w.null()
		return
	}
	text := []byte{'{'}
	for i, term := range terms {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '"')
		for _, b := range []byte(term) {
			if b == '"' || b == '\\' {
				text = append(text, '\\')
			}
			text = append(text, b)
		}
		text = append(text, '"')
	}
	w.free(string(append(text, '}')))
}

// Object identifiers of element types.
const (
	oidBytea       = 17
	oidInt8        = 20
	oidInt4        = 23
	oidText        = 25
	oidFloat8      = 701
	oidTimestamptz = 1184
	oidLSN         = 3220
)

// array starts an array parameter of n elements and returns what arrayEnd wants; the elements
// follow.
func (w *pgwire) array(oid int32, n int) int {
	at := len(w.buf)
	w.int32(0)
	w.int32(1) // dimensions
	w.int32(1) // there may be NULLs
	w.int32(oid)
	w.int32(int32(n)) //nolint:gosec // the length of a batch
	w.int32(1)        // lower bound
	return at
}

func (w *pgwire) arrayEnd(at int) {
	w.patch(at, len(w.buf)-at-4)
}

// asciiJSON escapes what is not ASCII in a JSON text.
func asciiJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < utf8.RuneSelf:
			out = utf8.AppendRune(out, r)
		case utf16.RuneLen(r) == 1:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
	}
	return out
}

func toASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return r
		}
		return '?'
	}, s)
}
