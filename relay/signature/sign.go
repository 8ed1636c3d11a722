package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// keptScratch is the most that a pooled scratch buffer may hold on to: a large body is rare, its
// buffer is not kept.
const keptScratch = 64 << 10

// Signer signs requests with one scheme and one or several secrets. It is immutable and safe for
// concurrent use.
type Signer struct {
	scheme Scheme
	keys   []signingKey
}

// signingKey pools what one signature needs, so that a signature allocates nothing and concurrent
// ones share nothing.
type signingKey struct {
	private ed25519.PrivateKey // nil: a shared secret
	states  *sync.Pool         // of *signState
}

type signState struct {
	mac     hash.Hash // nil for Ed25519
	scratch []byte
	sum     [sha256.Size]byte
}

// NewSigner makes a Signer of the standard scheme. Each secret adds one signature: a shared secret
// (whsec_…, 24 to 64 bytes in base64) a v1, a private key (whsk_…) a v1a.
func NewSigner(secrets ...string) (*Signer, error) {
	return NewSignerFor(Standard, secrets...)
}

// NewSignerFor makes a Signer of any scheme. The github scheme has room for one signature only: it
// uses the first secret, so put the one that receivers should have now in front.
func NewSignerFor(scheme Scheme, secrets ...string) (*Signer, error) {
	keys, err := parseKeys(scheme, secrets)
	if err != nil {
		return nil, fmt.Errorf("make signer: %w", err)
	}
	if scheme.Single() {
		keys = keys[:1]
	}
	s := &Signer{scheme: scheme, keys: make([]signingKey, len(keys))}
	for i, k := range keys {
		if k.shared == nil && k.private == nil {
			return nil, fmt.Errorf("make signer: secret %d of %d: %w: a public key cannot sign", i+1, len(keys), ErrInvalidSecret)
		}
		s.keys[i] = signingKey{private: k.private, states: newStates(k.shared)}
	}
	return s, nil
}

// newStates pools HMAC states of a shared secret, or bare scratch buffers without one.
func newStates(shared []byte) *sync.Pool {
	return &sync.Pool{New: func() any {
		st := &signState{}
		if shared != nil {
			st.mac = hmac.New(sha256.New, shared)
		}
		return st
	}}
}

// Scheme is the scheme that the Signer was made for.
func (s *Signer) Scheme() Scheme { return s.scheme }

// Append appends the value of the scheme's header (see [Scheme.Header]) to dst and returns the
// extended slice. It allocates nothing while dst has room. The stripe scheme does not cover id, the
// github scheme covers the body only.
func (s *Signer) Append(dst []byte, id string, timestamp time.Time, body []byte) []byte {
	unix := timestamp.Unix()
	if s.scheme == Stripe {
		dst = strconv.AppendInt(append(dst, "t="...), unix, 10)
	}
	for i := range s.keys {
		k := &s.keys[i]
		st, _ := k.states.Get().(*signState)
		dst = k.append(dst, st, s.scheme, i, id, unix, body)
		if cap(st.scratch) > keptScratch {
			st.scratch = nil
		}
		k.states.Put(st)
	}
	return dst
}

// append appends the i-th signature of the header's value.
func (k *signingKey) append(dst []byte, st *signState, scheme Scheme, i int, id string, unix int64, body []byte) []byte {
	switch scheme {
	case Stripe:
		st.scratch = append(strconv.AppendInt(st.scratch[:0], unix, 10), '.')
		return hex.AppendEncode(append(dst, ",v1="...), st.hmac(body))
	case GitHub:
		st.scratch = st.scratch[:0]
		return hex.AppendEncode(append(dst, "sha256="...), st.hmac(body))
	case Standard:
	}
	if i > 0 {
		dst = append(dst, ' ')
	}
	st.scratch = appendPrefix(st.scratch[:0], id, unix)
	if k.private == nil {
		return base64.StdEncoding.AppendEncode(append(dst, "v1,"...), st.hmac(body))
	}
	// Ed25519 makes two passes over what it signs, so it needs it in one piece.
	st.scratch = append(st.scratch, body...)
	return base64.StdEncoding.AppendEncode(append(dst, "v1a,"...), ed25519.Sign(k.private, st.scratch))
}

// hmac covers the scratch buffer and the body. The sum stays valid until the state is used again.
func (st *signState) hmac(body []byte) []byte {
	st.mac.Reset()
	_, _ = st.mac.Write(st.scratch) // a hash never fails
	_, _ = st.mac.Write(body)
	return st.mac.Sum(st.sum[:0])
}

func appendPrefix(dst []byte, id string, unix int64) []byte {
	dst = append(append(dst, id...), '.')
	return append(strconv.AppendInt(dst, unix, 10), '.')
}

// Sign returns the headers of a signed request: webhook-id, webhook-timestamp and the scheme's
// signature header. Hot paths use [Signer.Append].
func (s *Signer) Sign(id string, timestamp time.Time, body []byte) http.Header {
	h := make(http.Header, 3)
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(timestamp.Unix(), 10))
	h.Set(s.scheme.Header(), string(s.Append(nil, id, timestamp, body)))
	return h
}
