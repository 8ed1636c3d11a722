package outbox

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

// decodeBytea reads bytea_output = hex, and the escape form that it replaced.
func decodeBytea(text []byte) ([]byte, bool) {
	if digits, ok := bytes.CutPrefix(text, []byte(`\x`)); ok {
		data := make([]byte, hex.DecodedLen(len(digits)))
		_, err := hex.Decode(data, digits)
		return data, err == nil
	}
	data := make([]byte, 0, len(text))
	for len(text) > 0 {
		switch {
		case text[0] != '\\':
			data = append(data, text[0])
			text = text[1:]
		case len(text) >= 2 && text[1] == '\\':
			data = append(data, '\\')
			text = text[2:]
		case len(text) >= 4 && text[1] <= '3' && isOctal(text[1]) && isOctal(text[2]) && isOctal(text[3]):
			data = append(data, (text[1]-'0')<<6|(text[2]-'0')<<3|(text[3]-'0'))
			text = text[4:]
		default:
			return nil, false
		}
	}
	return data, true
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// decodeHeaders reads a JSON object as Decoder.Decode documents it. JSON null is no headers.
func decodeHeaders(data []byte) (map[string]string, bool) {
	if h, ok := plainHeaders(string(data)); ok {
		return h, true
	}
	return anyHeaders(data)
}

// plainHeaders reads what nearly all headers are, an object of ASCII strings without escapes, at
// the cost of one string and one map. It gives up on anything else.
func plainHeaders(s string) (map[string]string, bool) {
	s, ok := cutByte(s, '{')
	if !ok {
		return nil, false
	}
	if rest, ok := cutByte(s, '}'); ok {
		return nil, skipSpace(rest) == ""
	}
	headers := make(map[string]string, 2)
	for {
		var name, value string
		if name, s, ok = plainString(s); !ok {
			return nil, false
		}
		if s, ok = cutByte(s, ':'); !ok {
			return nil, false
		}
		if value, s, ok = plainString(s); !ok {
			return nil, false
		}
		headers[strings.ToLower(name)] = value
		if rest, ok := cutByte(s, ','); ok {
			s = rest
			continue
		}
		s, ok = cutByte(s, '}')
		return headers, ok && skipSpace(s) == ""
	}
}

func skipSpace(s string) string { return strings.TrimLeft(s, " \t\r\n") }

// cutByte takes c from the front of s, after white space.
func cutByte(s string, c byte) (rest string, ok bool) {
	s = skipSpace(s)
	if s == "" || s[0] != c {
		return s, false
	}
	return s[1:], true
}

// plainString takes a JSON string of printable ASCII without escapes from the front of s, after
// white space.
func plainString(s string) (value, rest string, ok bool) {
	s, ok = cutByte(s, '"')
	if !ok {
		return "", s, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			return s[:i], s[i+1:], true
		case c == '\\' || c < ' ' || c > '~':
			return "", s, false
		}
	}
	return "", s, false
}

// anyHeaders reads any JSON object, token by token, to keep the document's order.
func anyHeaders(data []byte) (map[string]string, bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	first, err := dec.Token()
	if err != nil {
		return nil, false
	}
	headers := make(map[string]string)
	if first != nil {
		if first != json.Delim('{') || !headerPairs(dec, headers) {
			return nil, false
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	if len(headers) == 0 {
		return nil, true
	}
	return headers, true
}

// headerPairs reads name and value pairs up to the object's end.
func headerPairs(dec *json.Decoder, headers map[string]string) bool {
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return false
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil || len(raw) == 0 {
			return false
		}
		switch raw[0] {
		case '"':
			var value string
			if err := json.Unmarshal(raw, &value); err != nil {
				return false
			}
			headers[strings.ToLower(name)] = value
		case '{', '[', 'n':
			// No header form.
		default:
			headers[strings.ToLower(name)] = string(raw)
		}
	}
	end, err := dec.Token()
	return err == nil && end == json.Delim('}')
}

// parseTimestamp reads a timestamptz, timestamp or date as Postgres prints them with DateStyle ISO,
// and RFC 3339:
//
//	2026-01-31 [10:00:00[.123456][+05[:30[:00]]]] [BC], infinity, -infinity
//
// Without an offset the time is UTC. An infinite time is the zero Time.
func parseTimestamp(text []byte) (time.Time, bool) {
	if s := string(text); s == "infinity" || s == "-infinity" {
		return time.Time{}, true
	}
	p := clockParser{rest: text, ok: true}
	if body, ok := bytes.CutSuffix(text, []byte(" BC")); ok {
		p.rest, p.bc = body, true
	}
	t := p.timestamp()
	return t, p.ok && len(p.rest) == 0
}

// clockParser eats a timestamp from the front; ok turns false at the first thing that does not fit.
type clockParser struct {
	rest []byte
	bc   bool
	ok   bool
}

func (p *clockParser) timestamp() time.Time {
	year := p.number(4, 7)
	p.expect('-')
	month := p.number(2, 2)
	p.expect('-')
	day := p.number(2, 2)
	if p.bc {
		year = 1 - year // 1 BC is year 0
	}

	var hour, minute, second, nano int
	var offset time.Duration
	if p.accept(' ') || p.accept('T') {
		hour = p.number(2, 2)
		p.expect(':')
		minute = p.number(2, 2)
		p.expect(':')
		second = p.number(2, 2)
		if p.accept('.') {
			nano = p.fraction()
		}
		offset = p.offset()
	}

	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if date.Day() != day || int(date.Month()) != month || hour > 23 || minute > 59 || second > 60 {
		p.ok = false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nano, time.UTC).Add(-offset)
}

func (p *clockParser) offset() time.Duration {
	west := p.accept('-')
	if !west && !p.accept('+') {
		p.accept('Z')
		return 0
	}
	offset := time.Duration(p.number(2, 2)) * time.Hour
	if p.accept(':') {
		offset += time.Duration(p.number(2, 2)) * time.Minute
		if p.accept(':') {
			offset += time.Duration(p.number(2, 2)) * time.Second
		}
	}
	if west {
		return -offset
	}
	return offset
}

func (p *clockParser) accept(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *clockParser) expect(c byte) {
	if !p.accept(c) {
		p.ok = false
	}
}

// number eats between least and most digits.
func (p *clockParser) number(least, most int) int {
	n, digits := 0, 0
	for digits < most && digits < len(p.rest) && p.rest[digits] >= '0' && p.rest[digits] <= '9' {
		n = n*10 + int(p.rest[digits]-'0')
		digits++
	}
	p.rest = p.rest[digits:]
	if digits < least {
		p.ok = false
	}
	return n
}

// fraction eats up to nine digits after the point, as nanoseconds.
func (p *clockParser) fraction() int {
	before := len(p.rest)
	n := p.number(1, 9)
	for range 9 - (before - len(p.rest)) {
		n *= 10
	}
	return n
}
