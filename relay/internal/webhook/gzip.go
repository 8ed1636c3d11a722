package webhook

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"sync"
)

// leastGzip is how large a body is at least that is compressed: smaller ones fit into a packet as
// they are.
const leastGzip = 1 << 10

// packers are gzip writers: one takes 800 kB to make.
var packers = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool of buffers
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one of gzip's
	}
	return w
}}

// pack compresses a body into room if that makes it smaller. What it returns is what goes out, and
// what is signed: a receiver verifies the bytes as they came.
func pack(room []byte, c content) (out content, used []byte, err error) {
	if len(c.body) < leastGzip {
		return c, room, nil
	}
	w, _ := packers.Get().(*gzip.Writer)
	defer packers.Put(w)
	packed := bytes.NewBuffer(room[:0])
	w.Reset(packed)
	if _, err := w.Write(c.body); err != nil {
		return content{}, room, fmt.Errorf("compress a body: %w", err)
	}
	if err := w.Close(); err != nil {
		return content{}, room, fmt.Errorf("compress a body: %w", err)
	}
	if packed.Len() < len(c.body) {
		c.body, c.packed = packed.Bytes(), true
	}
	return c, packed.Bytes(), nil
}
