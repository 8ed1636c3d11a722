package outbox

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log. Its text form is that of pg_lsn: two hexadecimal numbers with a slash.
type LSN uint64

// String gives the form of pg_lsn, for example "16/B374D848".
func (l LSN) String() string {
	return strconv.FormatUint(uint64(l>>32), 16) + "/" + strconv.FormatUint(uint64(uint32(l)), 16)
}

// ParseLSN reads the form of pg_lsn.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("parse LSN %q: want two hexadecimal numbers with a slash, like 16/B374D848", s)
	}
	return LSN(h<<32 | l), nil
}
