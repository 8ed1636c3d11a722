package http2

import (
	"bytes"
)

// Places in HPACK's static table (RFC 7541, appendix A).
const (
	staticAuthority   = 1
	staticMethod      = 2
	staticMethodPost  = 3
	staticPath        = 4
	staticSchemeHTTPS = 7
)

// emptyTable says, at the beginning of a head, that the table of headers is empty from there on
// (RFC 7541, section 6.3).
const emptyTable = 0x20

// AppendHead appends the header block of a request, whose head is given as HTTP/1.1 has it: a
// request line, header lines, and an empty line. What HTTP/2 says by other means is left out. No
// field enters the peer's table.
func AppendHead(dst, head []byte, authority string) []byte {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	method, target, _ := bytes.Cut(line, []byte(" "))
	target = bytes.TrimSuffix(target, []byte(" HTTP/1.1"))
	if string(method) == "POST" {
		dst = append(dst, 0x80|staticMethodPost)
	} else {
		dst = appendString(append(dst, staticMethod), method)
	}
	dst = append(dst, 0x80|staticSchemeHTTPS)
	dst = appendString(append(dst, staticAuthority), []byte(authority))
	dst = appendString(append(dst, staticPath), target)
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(": "))
		if !ok || ofHTTP1(name) {
			continue
		}
		literal := byte(0)
		if bytes.EqualFold(name, []byte("authorization")) || bytes.EqualFold(name, []byte("cookie")) {
			literal = 0x10 // nobody on the way may put it into a table
		}
		dst = append(dst, literal)
		dst = appendInt(dst, len(name))
		for _, c := range name {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
		}
		dst = appendString(dst, value)
	}
	return dst
}

// ofHTTP1 reports whether a header is about the connection, which HTTP/2 has frames for.
func ofHTTP1(name []byte) bool {
	for _, s := range [...]string{"host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"} {
		if bytes.EqualFold(name, []byte(s)) {
			return true
		}
	}
	return false
}

// appendString appends a string literal, not compressed.
func appendString(dst, s []byte) []byte { return append(appendInt(dst, len(s)), s...) }

// appendInt appends the length of a string literal: an integer with a prefix of seven bits.
func appendInt(dst []byte, n int) []byte {
	const most = 1<<7 - 1
	if n < most {
		return append(dst, byte(n)) //nolint:gosec // below 1<<7
	}
	dst = append(dst, most)
	for n -= most; n >= 1<<7; n >>= 7 {
		dst = append(dst, byte(n)|1<<7)
	}
	return append(dst, byte(n))
}
