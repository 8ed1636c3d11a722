package webhook

import (
	"bytes"
	"unicode/utf8"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

// cleanBody copies what was kept of a response as valid UTF-8 without NUL, of at most 16 KiB. A
// character that was cut in two at the end of a longer body is left out.
func cleanBody(kept []byte, truncated bool) ([]byte, bool) {
	if len(kept) == 0 {
		return nil, truncated
	}
	if len(kept) > http1.MaxBody {
		kept, truncated = kept[:http1.MaxBody], true
	}
	if truncated {
		kept = trimPartialRune(kept)
	}
	if utf8.Valid(kept) && bytes.IndexByte(kept, 0) < 0 {
		return bytes.Clone(kept), truncated
	}
	out := make([]byte, 0, min(len(kept)+len(kept)/2, http1.MaxBody))
	for len(kept) > 0 {
		r, size := utf8.DecodeRune(kept)
		if r == 0 {
			r = utf8.RuneError
		}
		if len(out)+utf8.RuneLen(r) > http1.MaxBody {
			return out, true
		}
		out = utf8.AppendRune(out, r)
		kept = kept[size:]
	}
	return out, truncated
}

// trimPartialRune drops the beginning of a character at the end of b.
func trimPartialRune(b []byte) []byte {
	for i := 1; i <= utf8.UTFMax && i <= len(b); i++ {
		c := b[len(b)-i]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			return b
		}
	}
	return b
}
