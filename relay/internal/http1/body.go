package http1

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
)

const (
	// MaxBody is how much of an answer's body is kept, unless Exchange.MostBody says another size.
	MaxBody = 16 << 10
	// maxDrain is how much is read beyond that, so that the connection can be used again.
	maxDrain = 256 << 10
)

// readBody keeps the beginning of the body and reads on to its end, up to a limit. It reports
// whether the end was reached and the connection stays in step.
func (x *Exchange) readBody(f *framing) (whole bool, err error) {
	switch {
	case !f.contentful:
		// Some that have no body say how it ends, or how long it is, and send that, later than the
		// rest perhaps. Only of a 304 that is what another answer would have.
		return !f.chunked && (f.length <= 0 || x.Answer.Status == http.StatusNotModified), nil
	case f.chunked:
		whole, err = x.readUntilEnd(httputil.NewChunkedReader(x.reader))
		if !whole || err != nil {
			return false, err
		}
		err = x.readTrailers(f.budget)
		// A length beside the chunks is a contradiction that somebody on the way may resolve
		// otherwise.
		return err == nil && !f.hasLength && !f.http10, err
	case f.hasLength:
		return x.readSized(f.length)
	}
	_, err = x.readUntilEnd(x.reader)
	return false, err
}

// readTrailers reads the header lines after the last chunk. They change nothing. Their lines end
// with CRLF alone: net/http and others take nothing else here, and who reads the end of a body
// otherwise than they do is out of step with them.
func (x *Exchange) readTrailers(budget int) error {
	head := x.Answer
	f := framing{budget: budget, folded: true, strict: true}
	err := x.readFields(&f)
	x.Answer = head
	if err == nil {
		err = f.bad
	}
	return err
}

// readSized reads a body of known length, and does not begin to drain one that is too long for it.
func (x *Exchange) readSized(length int64) (whole bool, err error) {
	if length == 0 {
		return true, nil
	}
	kept := int(min(length, int64(x.mostBody())))
	if cap(x.Answer.Body) < kept {
		x.Answer.Body = make([]byte, 0, kept)
	}
	n, err := io.ReadFull(x.reader, x.Answer.Body[:kept])
	x.Answer.Body = x.Answer.Body[:n]
	if err != nil {
		return false, unexpected(err)
	}
	rest := length - int64(kept)
	x.Answer.Truncated = rest > 0
	if rest > maxDrain {
		return false, nil
	}
	_, err = x.reader.Discard(int(rest))
	return err == nil, unexpected(err)
}

// readUntilEnd keeps the beginning of a body whose end r knows and reads on to its end, up to a
// limit. It reports whether the end was reached.
func (x *Exchange) readUntilEnd(r io.Reader) (whole bool, err error) {
	most := x.mostBody()
	for len(x.Answer.Body) < most {
		if len(x.Answer.Body) == cap(x.Answer.Body) {
			grown := make([]byte, len(x.Answer.Body), min(max(512, 4*cap(x.Answer.Body)), most))
			copy(grown, x.Answer.Body)
			x.Answer.Body = grown
		}
		n, err := r.Read(x.Answer.Body[len(x.Answer.Body):min(cap(x.Answer.Body), most)])
		x.Answer.Body = x.Answer.Body[:len(x.Answer.Body)+n]
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, badChunks(err)
		}
	}
	n, err := io.CopyN(io.Discard, r, maxDrain)
	x.Answer.Truncated = n > 0
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, badChunks(err)
}

// mostBody returns how much of the body is kept.
func (x *Exchange) mostBody() int { return cmp.Or(x.MostBody, MaxBody) }

// unexpected is err of a read that should not have met the end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// badChunks tells an error in the chunks themselves from one of the connection.
func badChunks(err error) error {
	if err == nil || isTimeout(err) || isClosed(err) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return errMalformed
}
