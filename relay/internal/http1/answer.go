package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
)

const (
	// MaxHead bounds the head of an answer, with all the interim ones before it and the trailers
	// after it.
	MaxHead = 256 << 10
	// maxLengthDigits keeps a Content-Length far from any overflow.
	maxLengthDigits = 18
	// lengthUnknown is the length of a body that ends with the connection.
	lengthUnknown = -1
)

// Answer is a receiver's answer.
type Answer struct {
	Status     int // 0: nothing yet, or nothing whole
	RetryAfter string
	Date       string // of an answer that is no success
	Location   string
	Word       string // of the header webhook-delivery
	Challenged bool   // it has the header Proxy-Authenticate
	Body       []byte // the beginning of the body, valid until the Exchange is used again
	Truncated  bool   // the body is longer than Body
	// Fields are the first MaxFields header lines, without what is wrong with any of them; nil
	// unless Exchange.KeepFields wants them.
	Fields []Field
}

// MaxFields is how many header lines of an answer are kept.
const MaxFields = 48

// Field is a header line.
type Field struct{ Name, Value string }

// Keep adds a header line, if there is room for it.
func (a *Answer) Keep(name, value string) {
	if len(a.Fields) < MaxFields {
		a.Fields = append(a.Fields, Field{name, value})
	}
}

// framing says where an answer's body ends and what happens then, by its head.
type framing struct {
	http10     bool
	closes     bool
	keepAlive  bool
	chunked    bool
	hasLength  bool
	length     int64
	budget     int  // what is left of MaxHead
	folded     bool // the line before matters, or is no header: it must not go on in the next
	contentful bool
	refusal    bool  // its status is 400 or more
	keeps      bool  // its header lines are wanted
	strict     bool  // only CRLF ends a line
	bad        error // what is wrong with the head so far
}

// readHead reads the answer's head, and those of any interim answers before it. A head that comes
// whole counts even where a line of it is wrong: then the error says so, and nothing behind it can
// be read.
func (x *Exchange) readHead(f *framing) error {
	for {
		line, err := x.readLine(f)
		if err != nil {
			return err
		}
		status, http10, ok := parseStatusLine(line)
		if !ok || status == http.StatusSwitchingProtocols {
			return errMalformed
		}
		*f = framing{budget: f.budget, http10: http10, length: lengthUnknown, folded: true}
		x.Answer.RetryAfter, x.Answer.Location, x.Answer.Date, x.Answer.Word = "", "", "", ""
		x.Answer.Challenged, x.Answer.Fields, f.keeps = false, nil, x.KeepFields
		f.refusal = status >= http.StatusBadRequest
		if err := x.readFields(f); err != nil {
			return err
		}
		if status >= http.StatusOK {
			x.Answer.Status = status
			f.contentful = status != http.StatusNoContent && status != http.StatusNotModified
		}
		if f.bad != nil || status >= http.StatusOK {
			return f.bad
		}
	}
}

// parseStatusLine reads "HTTP/1.1 200 OK"; the reason may be missing.
func parseStatusLine(line []byte) (status int, http10, ok bool) {
	const shortest = len("HTTP/1.1 200")
	if len(line) < shortest || string(line[:7]) != "HTTP/1." || line[8] != ' ' || len(line) > shortest && line[shortest] != ' ' {
		return 0, false, false
	}
	if line[7] != '0' && line[7] != '1' {
		return 0, false, false
	}
	for _, c := range line[9:shortest] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		status = status*10 + int(c-'0')
	}
	return status, line[7] == '0', status >= http.StatusContinue
}

// readLine reads one line, without its end. It stays valid until the next read.
func (x *Exchange) readLine(f *framing) ([]byte, error) {
	line, err := x.reader.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		x.line = x.line[:0]
		for errors.Is(err, bufio.ErrBufferFull) && len(x.line) <= f.budget {
			x.line = append(x.line, line...)
			line, err = x.reader.ReadSlice('\n')
		}
		x.line = append(x.line, line...)
		line = x.line
	}
	if f.budget -= len(line); f.budget < 0 {
		return nil, &MalformedError{"the answer's headers are too large"}
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], nil
	}
	if f.strict {
		return nil, errMalformed
	}
	return line, nil
}

// readFields reads header lines up to the empty one and keeps what matters here. What is wrong with
// a line is kept in f: the lines after it are still read, to find where the head ends.
func (x *Exchange) readFields(f *framing) error {
	for {
		line, err := x.readLine(f)
		if err != nil || len(line) == 0 {
			return err
		}
		if err := x.readFieldLine(f, line); err != nil && f.bad == nil {
			f.bad = err
		}
	}
}

func (x *Exchange) readFieldLine(f *framing, line []byte) (err error) {
	if line[0] == ' ' || line[0] == '\t' { // a folded line, obsolete: harmless where its header is not read here
		if f.folded || hasControl(line) {
			return errMalformed
		}
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || !validName(line[:colon]) || hasControl(line[colon:]) {
		return errMalformed
	}
	if f.keeps {
		x.Answer.Keep(string(line[:colon]), string(bytes.Trim(line[colon+1:], " \t")))
	}
	f.folded, err = x.readField(f, line[:colon], line[colon+1:])
	return err
}

// readField reads one header line and reports whether it matters.
func (x *Exchange) readField(f *framing, name, value []byte) (matters bool, err error) {
	value = bytes.Trim(value, " \t")
	switch len(name) {
	case len("date"):
		// Of a success nobody needs it, and most answers are.
		if f.refusal && equalFold(name, "date") {
			x.Answer.Date = string(value)
		}
	case len("location"):
		if equalFold(name, "location") {
			x.Answer.Location = string(value)
			return true, nil
		}
	case len("connection"):
		if equalFold(name, "connection") {
			f.connection(value)
			return true, nil
		}
	case len("retry-after"):
		if equalFold(name, "retry-after") {
			x.Answer.RetryAfter = string(value)
			return true, nil
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return true, f.contentLength(value)
		}
	case len("webhook-delivery"):
		if equalFold(name, "webhook-delivery") {
			x.Answer.Word = string(value)
			return true, nil
		}
	case len("proxy-authenticate"):
		if equalFold(name, "proxy-authenticate") {
			x.Answer.Challenged = true
			return true, nil
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			return true, f.transferEncoding(value)
		}
	}
	return false, nil
}

func (f *framing) connection(value []byte) {
	for token := range bytes.SplitSeq(value, []byte(",")) {
		token = bytes.Trim(token, " \t")
		f.closes = f.closes || equalFold(token, "close")
		f.keepAlive = f.keepAlive || equalFold(token, "keep-alive")
	}
}

func (f *framing) transferEncoding(value []byte) error {
	if f.chunked || !equalFold(value, "chunked") {
		return &MalformedError{"the answer has a transfer encoding that is not supported"}
	}
	f.chunked = true
	return nil
}

// contentLength takes a repeated length only if it says the same.
func (f *framing) contentLength(value []byte) error {
	if len(value) == 0 || len(value) > maxLengthDigits {
		return errMalformed
	}
	var n int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return errMalformed
		}
		n = n*10 + int64(c-'0')
	}
	if f.hasLength && f.length != n {
		return errMalformed
	}
	f.hasLength, f.length = true, n
	return nil
}

// equalFold compares ASCII; lower is in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(lower) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func hasControl(s []byte) bool {
	for _, c := range s {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// validName reports whether s is a token, as the name of a header is.
func validName(s []byte) bool {
	const punctuation = "!#$%&'*+-.^_`|~"
	for _, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && bytes.IndexByte([]byte(punctuation), c) < 0 {
			return false
		}
	}
	return len(s) > 0
}
