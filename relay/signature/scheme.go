package signature

import "fmt"

// Scheme is a way of signing requests.
type Scheme string

// The schemes.
const (
	Standard Scheme = "standard" // Standard Webhooks 1.0.0
	Stripe   Scheme = "stripe"   // as Stripe signs: t=…,v1=…
	GitHub   Scheme = "github"   // as GitHub signs: sha256=…
)

// The headers of the standard scheme. Every request of Tailpost carries the first two, whatever its
// scheme.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// Header names the header that carries the scheme's signatures, or is empty for an unknown scheme.
func (s Scheme) Header() string {
	switch s {
	case Standard:
		return HeaderSignature
	case Stripe:
		return "Stripe-Signature"
	case GitHub:
		return "X-Hub-Signature-256"
	}
	return ""
}

// Single reports whether the scheme has room for one signature only, so that two secrets cannot
// sign at a time.
func (s Scheme) Single() bool { return s == GitHub }

func (s Scheme) check() error {
	if s.Header() == "" {
		return fmt.Errorf("unknown signature scheme %q: want %q, %q or %q", string(s), Standard, Stripe, GitHub)
	}
	return nil
}
