package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tailpost/tailpost/relay/signature"
)

// demoReceivers are the two webhook endpoints of the demo, on one server: /warehouse always answers
// 200, /crm fails twice before it takes its first event.
type demoReceivers struct {
	secret string
	addr   string
	server *http.Server
	done   chan struct{}
}

func newDemoReceivers(view *demoView) (*demoReceivers, error) {
	r := &demoReceivers{secret: demoSecret(), done: make(chan struct{})}
	verifier, err := signature.NewVerifier(r.secret)
	if err != nil {
		return nil, fmt.Errorf("prepare the receivers: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0") //nolint:forbidigo // Listening does not wait.
	if err != nil {
		return nil, fmt.Errorf("start the receivers: %w", err)
	}
	r.addr = listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("POST /warehouse", demoHandler(view, verifier, "warehouse", 0))
	mux.Handle("POST /crm", demoHandler(view, verifier, "crm", 2))
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(r.done)
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			view.say("the receivers stopped: " + err.Error())
		}
	}()
	return r, nil
}

// demoHandler verifies every request, and answers the first ones of the first event with 500.
func demoHandler(view *demoView, verifier *signature.Verifier, name string, failures int) http.Handler {
	var (
		mu    sync.Mutex
		first string
	)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id := req.Header.Get("Webhook-Id")
		body, err := io.ReadAll(req.Body)
		if err == nil {
			err = verifier.Verify(req.Header, body)
		}
		if err != nil {
			view.posted(id, name, "rejected: "+err.Error())
			http.Error(w, "signature not verified", http.StatusUnauthorized)
			return
		}
		mu.Lock()
		if first == "" {
			first = id
		}
		fails := failures > 0 && id == first
		if fails {
			failures--
		}
		mu.Unlock()
		if fails {
			view.posted(id, name, "verified, answers 500")
			http.Error(w, "the CRM has a bad moment", http.StatusInternalServerError)
			return
		}
		view.posted(id, name, "verified, answers 200")
	})
}

func (r *demoReceivers) url(name string) string { return "http://" + r.addr + "/" + name }

func (r *demoReceivers) close() {
	// Nobody waits for an answer any more.
	_ = r.server.Close()
	<-r.done
}
