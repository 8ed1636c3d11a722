package ledger

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// requestPrefix tells the id of a request from that of an event.
const requestPrefix = "req_"

// requestEncoding keeps the order of ids.
func requestEncoding() *base32.Encoding {
	return base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)
}

// NewRequestID makes the id of a request with several events that is made at t. Who has the id
// finds its attempts by the time in it.
func NewRequestID(t time.Time) string {
	var b [16]byte
	const milliseconds = 6 // bytes, as in a UUIDv7
	// rand.Read never fails.
	_, _ = rand.Read(b[milliseconds:])
	random := binary.BigEndian.Uint16(b[milliseconds:])
	binary.BigEndian.PutUint64(b[:], uint64(t.UnixMilli())<<16|uint64(random))
	return requestPrefix + requestEncoding().EncodeToString(b[:])
}

// RequestTime returns the millisecond in which a request was made; false: that is no id of one.
func RequestTime(id string) (t time.Time, ok bool) {
	text, ok := strings.CutPrefix(id, requestPrefix)
	b, err := requestEncoding().DecodeString(text)
	if !ok || err != nil || len(b) != 16 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) >> 16)).UTC(), true
}
