package api

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tailpost/tailpost/relay/internal/query"
)

// Repeatable is the part of a request that makes it safe to send again.
type Repeatable struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Makes the request safe to send again: for 24 hours the same request under the same key gets the answer of the first one and changes nothing. The answer is kept encrypted under this key and the caller's own."`
}

func (r *Repeatable) idempotencyKey() string { return r.IdempotencyKey }

type repeatable interface{ idempotencyKey() string }

// remembered identifies a request; the zero one where it may not be repeated.
func remembered(op *huma.Operation, p *principal, in any) (query.Remembered, error) {
	r, ok := in.(repeatable)
	if !ok || r.idempotencyKey() == "" {
		return query.Remembered{}, nil
	}
	text, err := json.Marshal(in)
	if err != nil {
		return query.Remembered{}, fmt.Errorf("encode the request: %w", err)
	}
	parts := []string{p.key.ID, op.Method, op.Path, r.idempotencyKey()}
	if p.session {
		parts = append(parts, "session") // its answers are encrypted without the secret
	}
	key := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	request := sha256.Sum256(append([]byte("request\x00"), text...))
	return query.Remembered{Key: key[:], Request: request[:]}, nil
}

// answerCipher encrypts an answer, which may hold a secret that is shown only once: whoever reads
// the database has neither the Idempotency-Key nor the caller's secret.
func answerCipher(p *principal, key string) (cipher.AEAD, error) {
	const size = 32
	raw, err := hkdf.Key(sha256.New, []byte(p.secret+"\x00"+key), nil, "tailpost idempotent answer", size)
	if err != nil {
		return nil, fmt.Errorf("derive the key of the answer: %w", err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("make the cipher of the answer: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func sealAnswer(p *principal, in, answer any) ([]byte, error) {
	r, ok := in.(repeatable)
	if !ok || r.idempotencyKey() == "" {
		return nil, nil
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	aead, err := answerCipher(p, r.idempotencyKey())
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, text, nil), nil //nolint:gosec // the cipher puts a random nonce in front
}

func openAnswer(p *principal, in any, sealed []byte, answer any) error {
	r, ok := in.(repeatable)
	if !ok {
		return errors.New("read the answer: the request has no Idempotency-Key")
	}
	aead, err := answerCipher(p, r.idempotencyKey())
	if err != nil {
		return err
	}
	text, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return fmt.Errorf("decrypt the answer: %w", err)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	return nil
}

// asker is a handler that changes nothing.
type asker[I, O any] func(context.Context, *Server, *principal, *I) (*O, error)

// changer is a handler that runs in a transaction.
type changer[I, O any] func(context.Context, *Server, *query.Change, *principal, *I) (*O, error)

// ask registers an operation that changes nothing, or has its own transactions.
func ask[I, O any](s *Server, r route, h asker[I, O]) {
	op := r.operation()
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		err := spellEvent(ctx, s, in)
		if err != nil {
			return nil, problemOf(ctx, s, err)
		}
		out, err := h(ctx, s, caller(ctx), in)
		if err != nil {
			return nil, problemOf(ctx, s, err)
		}
		return out, nil
	})
}

// change registers an operation whose handler runs in one transaction.
func change[I, O any](s *Server, r route, h changer[I, O]) {
	op := r.operation()
	ask(s, r, func(ctx context.Context, s *Server, p *principal, in *I) (*O, error) {
		return inChange(ctx, s, &op, p, in, h)
	})
}

// inChange runs h in a transaction, or returns the answer of an earlier call that it repeats.
func inChange[I, O any](ctx context.Context, s *Server, op *huma.Operation, p *principal, in *I, h changer[I, O]) (*O, error) {
	r, err := remembered(op, p, in)
	if err != nil {
		return nil, err
	}
	var out *O
	again, err := s.store.Change(ctx, p.actor(), r, s.now().UTC(), func(ctx context.Context, c *query.Change) (answer []byte, err error) {
		if out, err = h(ctx, s, c, p, in); err != nil {
			return nil, err
		}
		return sealAnswer(p, in, out)
	})
	switch {
	case err != nil:
		return nil, err
	case again == nil:
		return out, nil
	}
	out = new(O)
	return out, openAnswer(p, in, again, out)
}

// Conditional is the part of a request that keeps it from undoing another's change.
type Conditional struct {
	IfMatch string `header:"If-Match" doc:"The ETag that the change is meant for; the answer is 412 if it is another one by now."`
}

// check compares a version with the one that the caller saw.
func (c *Conditional) check(version int64) error {
	if c.IfMatch == "" || c.IfMatch == "*" {
		return nil
	}
	for tag := range strings.SplitSeq(c.IfMatch, ",") {
		if strings.TrimSpace(tag) == etag(version) {
			return nil
		}
	}
	return query.ErrStale
}

func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }
