package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// newID makes a UUIDv7 (RFC 9562): ids of one process sort by time, which keeps the primary key's
// index dense.
func newID(now time.Time) string {
	var b [16]byte
	// rand.Read never fails: it crashes the program instead (its documentation says so since Go
	// 1.24).
	_, _ = rand.Read(b[8:])

	// 48 bits of milliseconds, then the version and the fraction of the millisecond in 12 bits (RFC
	// 9562, 6.2, method 3).
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	fraction := uint16(now.UnixNano() % int64(time.Millisecond) * 4096 / int64(time.Millisecond))
	binary.BigEndian.PutUint16(b[6:8], 0x7000|fraction&0x0fff)
	b[8] = b[8]&0x3f | 0x80

	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:36], b[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
