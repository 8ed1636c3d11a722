package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sink is the receiver: as little HTTP/1.1 as webhooks need, so that it takes as little as possible
// of the machine.
type sink struct {
	listener net.Listener
	url      string
	http2    bool         // it speaks nothing else
	shut     func() error // ends what listens beside accept; nil: nothing

	mu    sync.RWMutex
	paths map[string]*inbox
	conns map[net.Conn]struct{}

	accepted atomic.Int64 // connections, ever
	resumed  atomic.Int64 // of these, with the TLS session of an earlier one
}

// inbox is what one path gets.
type inbox struct {
	delay  atomic.Int64           // before each answer; negative: never answers
	temper atomic.Pointer[temper] // what is refused; nil: nothing

	received   atomic.Int64 // first sights of an event
	duplicates atomic.Int64
	first      atomic.Int64 // unix nanoseconds of the first sight of an event
	last       atomic.Int64

	mu        sync.Mutex
	seen      []uint64 // bits by event number
	latencies []float64
	silence   int64 // the longest time between two first sights since hush, in nanoseconds
	history   history
	bucket    bucket
}

func newSink(ctx context.Context) (*sink, error) {
	s, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go s.accept(s.listener, nil)
	return s, nil
}

// listen makes a receiver that accepts nothing yet.
func listen(ctx context.Context, address string) (*sink, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start the receiver: %w", err)
	}
	s := &sink{listener: l, url: "http://" + l.Addr().String(), conns: make(map[net.Conn]struct{})}
	s.reset()
	return s, nil
}

// accept serves what comes to l. Turns has room for as many requests as are answered at once; nil:
// all are.
func (s *sink) accept(l net.Listener, turns chan struct{}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		go func() {
			// A client that hangs up, or a broken request, ends its connection and nothing else.
			if t, ok := conn.(*tls.Conn); ok && t.HandshakeContext(context.Background()) == nil && t.ConnectionState().DidResume {
				s.resumed.Add(1)
			}
			_ = s.serve(conn, turns)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
			_ = conn.Close()
		}()
	}
}

func (s *sink) close() error {
	err := s.listener.Close()
	if s.shut != nil {
		err = s.shut() // closes the listener too, if it serves it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	return err
}

// reset forgets all that was received and how paths behave.
func (s *sink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = make(map[string]*inbox)
}

// at returns the inbox of a path.
func (s *sink) at(path string) *inbox {
	s.mu.RLock()
	in := s.paths[path]
	s.mu.RUnlock()
	if in != nil {
		return in
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in = s.paths[path]; in == nil {
		in = &inbox{}
		s.paths[path] = in
	}
	return in
}

// tally sums up the paths that start with prefix.
func (s *sink) tally(prefix string) (t tally) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for path, in := range s.paths {
		if !strings.HasPrefix(path, prefix) {
			continue
		}
		t.received += int(in.received.Load())
		t.duplicates += int(in.duplicates.Load())
		if first := in.first.Load(); first > 0 && (t.first == 0 || first < t.first) {
			t.first = first
		}
		t.last = max(t.last, in.last.Load())
		in.mu.Lock()
		t.latencies = append(t.latencies, in.latencies...)
		in.mu.Unlock()
	}
	return t
}

// hush begins to look for the longest silence of a path.
func (s *sink) hush() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, in := range s.paths {
		in.mu.Lock()
		in.silence = 0
		in.mu.Unlock()
	}
}

// silence returns the longest time for which a path that ever got something got nothing new since
// hush, be it over or not.
func (s *sink) silence() (longest time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now().UnixNano()
	for _, in := range s.paths {
		in.mu.Lock()
		longest = max(longest, time.Duration(max(in.silence, now-in.last.Load())))
		in.mu.Unlock()
	}
	return longest
}

// tally is what some paths got.
type tally struct {
	received, duplicates int
	first, last          int64
	latencies            []float64 // milliseconds
}

// rate is events a second from the first to the last.
func (t tally) rate() float64 {
	if t.last <= t.first {
		return 0
	}
	return float64(t.received) / (float64(t.last-t.first) / 1e9)
}

func (in *inbox) receive(body []byte) {
	now := time.Now().UnixNano()
	if len(body) == 0 || body[0] != '[' {
		in.take(body, now)
		return
	}
	for one := range bytes.SplitSeq(body, []byte(`,{"id":`)) {
		in.take(one, now)
	}
}

// take notes one event.
func (in *inbox) take(body []byte, now int64) {
	seq, ok := field(body, `"seq":`)
	if !ok {
		return
	}
	sent, timed := field(body, `"sent_at":`)
	in.mu.Lock()
	word, bit := int(seq>>6), uint64(1)<<(seq&63)
	for word >= len(in.seen) {
		in.seen = append(in.seen, make([]uint64, len(in.seen)+64)...)
	}
	again := in.seen[word]&bit != 0
	in.seen[word] |= bit
	if timed && !again && sent > 0 {
		in.latencies = append(in.latencies, float64(now-sent)/1e6)
	}
	if !again {
		if last := in.last.Swap(now); last > 0 {
			in.silence = max(in.silence, now-last)
		}
	}
	in.mu.Unlock()
	if again {
		in.duplicates.Add(1)
		return
	}
	in.first.CompareAndSwap(0, now)
	in.received.Add(1)
}

// field finds a number after a name, which jsonb prints with a blank between.
func field(body []byte, name string) (int64, bool) {
	_, rest, ok := bytes.Cut(body, []byte(name))
	if !ok {
		return 0, false
	}
	rest = bytes.TrimLeft(rest, " ")
	n, digits := int64(0), 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		n = n*10 + int64(rest[digits]-'0')
		digits++
	}
	return n, digits > 0
}

var answer = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

func (s *sink) serve(conn net.Conn, turns chan struct{}) error {
	r := bufio.NewReaderSize(conn, 16<<10)
	var body []byte
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			return errors.New("not a request")
		}
		in := s.at(strings.TrimPrefix(string(fields[1]), s.url)) // what asks a proxy has the whole URL
		length, err := contentLength(r)
		if err != nil {
			return err
		}
		if cap(body) < length {
			body = make([]byte, length)
		}
		body = body[:length]
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		if turns != nil {
			turns <- struct{}{}
		}
		err = in.answer(conn, r, body)
		if turns != nil {
			<-turns
		}
		if err != nil {
			return err
		}
	}
}

// answer answers one request as the path does.
func (in *inbox) answer(conn net.Conn, r *bufio.Reader, body []byte) error {
	if t := in.temper.Load(); t != nil && in.refuses(t) {
		_, err := conn.Write(t.answer())
		return err
	}
	in.receive(body)
	switch delay := in.delay.Load(); {
	case delay < 0:
		_, err := r.ReadByte() // until the client gives up
		return err
	case delay > 0:
		time.Sleep(time.Duration(delay))
	}
	_, err := conn.Write(answer)
	return err
}

// contentLength reads the header up to its end.
func contentLength(r *bufio.Reader) (length int, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(name) == len("content-length") && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
}
