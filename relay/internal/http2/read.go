package http2

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// read reads frames until the connection is closed.
func (c *Conn) read() {
	defer c.conn.Close() // whatever went wrong with it is known by then
	for settled := false; ; settled = true {
		frame, err := c.framer.ReadFrame()
		now := time.Now()
		c.mu.Lock()
		if err == nil {
			c.heard = now
			if _, ok := frame.(*h2.SettingsFrame); !ok && !settled {
				err = h2.ConnectionError(h2.ErrCodeProtocol)
			} else {
				if !settled {
					c.most = streamsUnbound
				}
				err = c.handle(frame)
			}
		}
		if broken, ok := errors.AsType[h2.StreamError](err); ok {
			c.reset(broken.StreamID, broken.Code)
			err = nil
		}
		if err != nil {
			c.fail(err)
		}
		ended := c.err != nil
		c.mu.Unlock()
		if ended {
			return
		}
	}
}

// handle takes a frame in. The caller holds mu.
func (c *Conn) handle(frame h2.Frame) error {
	switch f := frame.(type) {
	case *h2.MetaHeadersFrame:
		return c.handleHead(f)
	case *h2.DataFrame:
		return c.handleData(f)
	case *h2.RSTStreamFrame:
		if s := c.streams[f.StreamID]; s != nil {
			c.finish(s, resetError(f.ErrCode, s.headed))
		}
	case *h2.SettingsFrame:
		return c.handleSettings(f)
	case *h2.PingFrame:
		if !f.IsAck() {
			c.say(c.framer.WritePing(true, f.Data))
		}
	case *h2.GoAwayFrame:
		c.handleGoAway(f)
	case *h2.WindowUpdateFrame:
		return c.handleWindow(f)
	case *h2.PushPromiseFrame:
		return h2.ConnectionError(h2.ErrCodeProtocol) // it was told not to
	}
	return nil
}

func (c *Conn) handleHead(f *h2.MetaHeadersFrame) error {
	s := c.streams[f.StreamID]
	switch {
	case s == nil && f.StreamID >= c.nextID:
		return h2.ConnectionError(h2.ErrCodeProtocol)
	case s == nil:
		return nil // its request is over
	case s.headed: // trailers, which change nothing
		if !f.StreamEnded() {
			return h2.StreamError{StreamID: f.StreamID, Code: h2.ErrCodeProtocol}
		}
		c.complete(s)
		return nil
	}
	status, err := strconv.ParseUint(f.PseudoValue("status"), 10, 16)
	switch {
	case err != nil || status < http.StatusContinue || status == http.StatusSwitchingProtocols || status > 999 || f.Truncated:
		return h2.StreamError{StreamID: f.StreamID, Code: h2.ErrCodeProtocol}
	case status < http.StatusOK && f.StreamEnded():
		return h2.StreamError{StreamID: f.StreamID, Code: h2.ErrCodeProtocol}
	case status < http.StatusOK:
		return nil
	}
	s.headed, s.answer.Status = true, int(status)
	if c.options.Fields != nil {
		s.answer.keep(f.RegularFields(), c.options.Fields())
	}
	for _, field := range f.RegularFields() {
		switch field.Name {
		case "retry-after":
			s.answer.RetryAfter = field.Value
		case "date":
			if status >= http.StatusBadRequest { // of a success nobody needs it
				s.answer.Date = field.Value
			}
		case "location":
			s.answer.Location = field.Value
		case "webhook-delivery":
			s.answer.Word = field.Value
		case "content-length":
			s.declare(field.Value)
		}
	}
	if f.StreamEnded() {
		c.complete(s)
	}
	return nil
}

// keep keeps the first header lines.
func (a *Answer) keep(fields []hpack.HeaderField, most int) {
	for _, f := range fields[:min(most, len(fields))] {
		a.Fields = append(a.Fields, Field{f.Name, f.Value})
	}
}

// complete ends a stream whose answer is whole. What is not sent of its request is not wanted.
func (c *Conn) complete(s *stream) {
	if s.isOpen {
		c.say(c.framer.WriteRSTStream(s.id, h2.ErrCodeCancel))
	}
	if !s.fits() {
		c.finish(s, &Error{Err: ErrLength, Reset: true, Headed: true})
		return
	}
	c.finish(s, nil)
}

func (c *Conn) handleData(f *h2.DataFrame) error {
	size := int(f.Length)
	if c.unacked += size; c.unacked >= ownWindow/2 {
		c.say(c.framer.WriteWindowUpdate(0, uint32(c.unacked))) //nolint:gosec // less than the window
		c.unacked = 0
	}
	s := c.streams[f.StreamID]
	switch {
	case s == nil && f.StreamID >= c.nextID:
		return h2.ConnectionError(h2.ErrCodeProtocol)
	case s == nil:
		return nil
	case !s.headed:
		return h2.StreamError{StreamID: f.StreamID, Code: h2.ErrCodeProtocol}
	}
	data := f.Data()
	s.read += len(data)
	kept := min(len(data), c.options.MaxBody-len(s.answer.Body))
	s.answer.Body = append(s.answer.Body, data[:kept]...)
	s.answer.Truncated = s.answer.Truncated || kept < len(data)
	switch {
	case f.StreamEnded():
		c.complete(s)
	case s.read > c.options.MaxBody+c.options.MaxDrain:
		c.say(c.framer.WriteRSTStream(s.id, h2.ErrCodeCancel))
		c.finish(s, nil)
	default:
		if s.unacked += size; s.unacked >= ownWindow/2 {
			c.say(c.framer.WriteWindowUpdate(s.id, uint32(s.unacked))) //nolint:gosec // less than the window
			s.unacked = 0
		}
	}
	return nil
}

func (c *Conn) handleSettings(f *h2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s h2.Setting) error {
		switch s.ID { //nolint:exhaustive // the others are about what is not used here
		case h2.SettingHeaderTableSize:
			// The next header block has to acknowledge a smaller table, or the peer takes it for
			// broken (RFC 7541, section 4.2). An empty table acknowledges every size.
			if s.Val < c.table {
				c.table, c.emptied = 0, true
			}
		case h2.SettingMaxConcurrentStreams:
			c.most = int(min(s.Val, 1<<20))
		case h2.SettingInitialWindowSize:
			if s.Val > maxWindow { // the framer looks at the first one of a frame only
				return h2.ConnectionError(h2.ErrCodeFlowControl)
			}
			change := int64(s.Val) - c.peerWindow
			c.peerWindow = int64(s.Val)
			for _, open := range c.streams {
				if open.window += change; open.window > maxWindow { // RFC 9113, section 6.9.2
					return h2.ConnectionError(h2.ErrCodeFlowControl)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.say(c.framer.WriteSettingsAck()) // the writer then sends what the new windows have room for
	return nil
}

func (c *Conn) handleWindow(f *h2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > maxWindow {
			return h2.ConnectionError(h2.ErrCodeFlowControl)
		}
	} else if s := c.streams[f.StreamID]; s != nil {
		if s.window += int64(f.Increment); s.window > maxWindow {
			return h2.StreamError{StreamID: f.StreamID, Code: h2.ErrCodeFlowControl}
		}
	}
	c.pump()
	return nil
}

// handleGoAway notes that the peer has not looked at the requests after one, and takes no more.
func (c *Conn) handleGoAway(f *h2.GoAwayFrame) {
	c.leaving, c.gone = true, true
	for id, s := range c.streams {
		if id > f.LastStreamID {
			c.finish(s, &Error{Err: errGoneAway, Unread: true})
		}
	}
	if c.users == 0 {
		c.fail(errClosed)
	}
}

// reset ends a stream on which the peer broke the protocol.
func (c *Conn) reset(id uint32, code h2.ErrCode) {
	c.say(c.framer.WriteRSTStream(id, code))
	if s := c.streams[id]; s != nil {
		c.finish(s, &Error{Err: errMalformed, Reset: true, Headed: s.headed})
	}
}
