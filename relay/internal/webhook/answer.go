package webhook

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
)

const (
	// maxHead bounds the head of an answer, with all the interim ones before it and the trailers after it.
	maxHead = 256 << 10
	// maxLengthDigits keeps a Content-Length far from any overflow.
	maxLengthDigits = 18
	// lengthUnknown is the length of a body that ends with the connection.
	lengthUnknown = -1
)

// errMalformed is the error of an answer that is not HTTP as RFC 9112 has it. Guessing where such an answer ends could
// take its rest for the answer to the next request.
var errMalformed = &failure{"the answer is not valid HTTP/1.1"}

// framing is what an answer's head says about where its body ends and what happens then.
type framing struct {
	http10     bool
	closes     bool
	keepAlive  bool
	chunked    bool
	hasLength  bool
	length     int64
	budget     int  // what is left of maxHead
	folded     bool // the line before matters, or is no header: it must not go on in the next
	contentful bool
}

// do writes the request and reads the answer. It says whether the connection can be used again.
func (x *exchange) do(c *conn) (keep bool, err error) {
	writeErr := x.write(c.Conn)
	if writeErr != nil && !isClosed(writeErr) {
		return false, writeErr
	}
	// A receiver may answer, 413 for example, and close before it has read the whole request.
	x.reader.Reset(c.Conn)
	x.phase = phaseHeaders
	if _, err := x.reader.Peek(1); err != nil {
		if writeErr != nil {
			x.phase, err = phaseSend, writeErr
		}
		if isClosed(err) {
			err = &closedError{err: err}
		}
		return false, err
	}
	f := framing{budget: maxHead}
	if err := x.readHead(&f); err != nil {
		return false, err
	}
	x.phase = phaseBody
	whole, err := x.readBody(&f)
	keep = whole && writeErr == nil && !f.closes && (!f.http10 || f.keepAlive) && x.reader.Buffered() == 0
	return keep, err
}

// readHead reads the answer's head, and those of any interim answers before it.
func (x *exchange) readHead(f *framing) error {
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
		x.answer.retryAfter, x.answer.location = "", ""
		if err := x.readFields(f); err != nil {
			return err
		}
		if status >= http.StatusOK {
			x.answer.status = status
			f.contentful = status != http.StatusNoContent && status != http.StatusNotModified
			return nil
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
func (x *exchange) readLine(f *framing) ([]byte, error) {
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
		return nil, failuref("the answer's headers are too large")
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// readFields reads header lines up to the empty one and keeps what matters here.
func (x *exchange) readFields(f *framing) error {
	for {
		line, err := x.readLine(f)
		if err != nil || len(line) == 0 {
			return err
		}
		if line[0] == ' ' || line[0] == '\t' { // a folded line, obsolete: harmless where its header is not read here
			if f.folded || hasControl(line) {
				return errMalformed
			}
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 || !validName(line[:colon]) || hasControl(line[colon:]) {
			return errMalformed
		}
		if f.folded, err = x.readField(f, line[:colon], line[colon+1:]); err != nil {
			return err
		}
	}
}

// readField reads one header line and says whether it matters.
func (x *exchange) readField(f *framing, name, value []byte) (matters bool, err error) {
	value = bytes.Trim(value, " \t")
	switch len(name) {
	case len("location"):
		if equalFold(name, "location") {
			x.answer.location = string(value)
			return true, nil
		}
	case len("connection"):
		if equalFold(name, "connection") {
			f.connection(value)
			return true, nil
		}
	case len("retry-after"):
		if equalFold(name, "retry-after") {
			x.answer.retryAfter = string(value)
			return true, nil
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return true, f.contentLength(value)
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			if f.chunked || !equalFold(value, "chunked") {
				return true, failuref("the answer has a transfer encoding that is not supported")
			}
			f.chunked = true
			return true, nil
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

// readBody keeps the beginning of the body and reads on to its end, up to a limit. It says whether the end was reached
// and the connection stays in step.
func (x *exchange) readBody(f *framing) (whole bool, err error) {
	switch {
	case !f.contentful:
		return true, nil
	case f.chunked:
		whole, err = x.readStream(httputil.NewChunkedReader(x.reader))
		if !whole || err != nil {
			return false, err
		}
		// A length beside the chunks is a contradiction that somebody on the way may resolve otherwise.
		return !f.hasLength && !f.http10, x.readTrailers(f.budget)
	case f.hasLength:
		return x.readSized(f.length)
	}
	_, err = x.readStream(x.reader)
	return false, err
}

// readTrailers reads the header lines after the last chunk. They change nothing.
func (x *exchange) readTrailers(budget int) error {
	head := x.answer
	err := x.readFields(&framing{budget: budget, folded: true})
	x.answer = head
	return err
}

// readSized reads a body of known length, and does not begin to drain one that is too long for it.
func (x *exchange) readSized(length int64) (whole bool, err error) {
	if length == 0 {
		return true, nil
	}
	kept := int(min(length, maxCapture))
	if cap(x.capture) < kept {
		x.capture = make([]byte, 0, kept)
	}
	n, err := io.ReadFull(x.reader, x.capture[:kept])
	x.capture = x.capture[:n]
	if err != nil {
		return false, unexpected(err)
	}
	rest := length - int64(kept)
	x.answer.truncated = rest > 0
	if rest > maxDrain {
		return false, nil
	}
	_, err = x.reader.Discard(int(rest))
	return err == nil, unexpected(err)
}

// readStream reads a body whose end r knows.
func (x *exchange) readStream(r io.Reader) (whole bool, err error) {
	for len(x.capture) < maxCapture {
		if len(x.capture) == cap(x.capture) {
			grown := make([]byte, len(x.capture), min(max(512, 4*cap(x.capture)), maxCapture))
			copy(grown, x.capture)
			x.capture = grown
		}
		n, err := r.Read(x.capture[len(x.capture):min(cap(x.capture), maxCapture)])
		x.capture = x.capture[:len(x.capture)+n]
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err != nil {
			return false, badChunks(err)
		}
	}
	n, err := io.CopyN(io.Discard, r, maxDrain)
	x.answer.truncated = n > 0
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return true, nil
	}
	return false, badChunks(err)
}

// unexpected is err of a read that should not have met the end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// badChunks tells an error in the chunks themselves from one of the connection.
func badChunks(err error) error {
	if err == nil || isTimeout(err) || explainSocket(err, phaseBody) != "" {
		return err
	}
	return errMalformed
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
