package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const maxBody = 1 << 20

// event is the body of a request in Tailpost's standard format.
type event struct {
	ID   string          `json:"id"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// newReceiver makes the handler. Do is called once for each event, one at a time.
func newReceiver(secret string, do func(event)) (http.Handler, error) {
	if secret == "" {
		return nil, errors.New("WEBHOOK_SECRET is not set")
	}
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, errors.New("WEBHOOK_SECRET is not a whsec_ secret") // the error itself might quote it
	}
	// Delivery is at least once: the id tells what was here before. A real receiver keeps it in its
	// database, in the transaction that does the work.
	var (
		mu   sync.Mutex
		seen = make(map[string]bool)
	)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks", func(w http.ResponseWriter, r *http.Request) {
		// The signature is about these very bytes, so they are read before anything else looks at
		// them.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "body not readable", http.StatusBadRequest)
			return
		}
		if err := webhook.Verify(body, r.Header); err != nil {
			http.Error(w, "signature not genuine", http.StatusUnauthorized)
			return
		}
		var e event
		if err := json.Unmarshal(body, &e); err != nil {
			http.Error(w, "not an event", http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if !seen[e.ID] {
			seen[e.ID] = true
			do(e)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux, nil
}
