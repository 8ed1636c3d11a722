package outbox

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log. Its text form is that of pg_lsn: two hexadecimal
// numbers with a slash.
type LSN uint64

// String returns the form in which Postgres prints a pg_lsn, for example "16/B374D848".
func (l LSN) String() string {
	return fmt.Sprintf("%X/%X", uint64(l)>>32, uint64(l)&0xFFFFFFFF)
}

// ParseLSN reads the form of pg_lsn, in either case.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, errHi := strconv.ParseUint(hi, 16, 32)
	l, errLo := strconv.ParseUint(lo, 16, 32)
	if !ok || errHi != nil || errLo != nil {
		return 0, fmt.Errorf("parse LSN %q: want two hexadecimal numbers with a slash, like 16/B374D848", s)
	}
	return LSN(h<<32 | l), nil
}
