package kit

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// First answers the first request of all in one way, and those that follow in another.
func First(first, then Behaviour) Behaviour {
	var once atomic.Bool
	return func(ctx context.Context, w http.ResponseWriter, r Request) int {
		if once.CompareAndSwap(false, true) {
			return first(ctx, w, r)
		}
		return then(ctx, w, r)
	}
}

// Trickle answers byte by byte, with a pause before each, and never comes to an end. Its status is
// 200 once its head is on the way: that is the answer, whatever becomes of the body.
func Trickle(pause time.Duration) Behaviour {
	return func(ctx context.Context, w http.ResponseWriter, _ Request) int {
		control := http.NewResponseController(w)
		w.Header().Set("Content-Length", "1000000")
		w.WriteHeader(http.StatusOK)
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		status := 0
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return status
			}
			if _, err := w.Write([]byte{'.'}); err != nil {
				return status
			}
			if control.Flush() != nil {
				return status
			}
			status = http.StatusOK
		}
	}
}

// Lie promises a longer body than it sends, and closes the connection. Its head is an answer all
// the same.
func Lie() Behaviour {
	return func(_ context.Context, w http.ResponseWriter, _ Request) int {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return http.StatusInternalServerError // a failure all the same
		}
		_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot quite that much"))
		_ = conn.Close() // it may be gone already
		if err != nil {
			return 0
		}
		return http.StatusOK
	}
}

// Flood answers with a status and a body of so many bytes.
func Flood(status, size int) Behaviour {
	return func(_ context.Context, w http.ResponseWriter, _ Request) int {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.WriteHeader(status)
		piece := bytes.Repeat([]byte("flood "), 4096)
		for sent := 0; sent < size; {
			n, err := w.Write(piece[:min(len(piece), size-sent)])
			sent += n
			if err != nil {
				break // cut off: the relay has heard enough
			}
		}
		return status
	}
}
