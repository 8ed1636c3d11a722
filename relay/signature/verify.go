package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The errors of Verify. Each is wrapped with the details; branch with errors.Is.
var (
	ErrMissingHeader   = errors.New("missing signature header")
	ErrMalformedHeader = errors.New("malformed signature header")
	ErrNoMatch         = errors.New("no signature matches")
	ErrTooOld          = errors.New("timestamp too old")
	ErrTooNew          = errors.New("timestamp too far in the future")
)

const (
	// DefaultTolerance is how far a request's timestamp may lie from the clock, either way.
	DefaultTolerance = 5 * time.Minute

	// maxSignatures bounds the work that one header can ask for; an Ed25519 check is not cheap.
	maxSignatures = 32
	// maxTimestampDigits keeps timestamps far from any overflow (the year 33658).
	maxTimestampDigits = 12
)

// Verifier checks requests against one or several secrets. It is immutable and safe for concurrent
// use.
type Verifier struct {
	scheme    Scheme
	keys      []key
	tolerance time.Duration
	now       func() time.Time
}

// NewVerifier makes a Verifier of the standard scheme. A request passes if any of its signatures
// matches any of the secrets: a shared secret (whsec_…) or a public key (whpk_…; a private key,
// whsk_…, stands for its public one).
func NewVerifier(secrets ...string) (*Verifier, error) {
	return NewVerifierFor(Standard, secrets...)
}

// NewVerifierFor makes a Verifier of any scheme.
func NewVerifierFor(scheme Scheme, secrets ...string) (*Verifier, error) {
	keys, err := parseKeys(scheme, secrets)
	if err != nil {
		return nil, fmt.Errorf("make verifier: %w", err)
	}
	return &Verifier{scheme: scheme, keys: keys, tolerance: DefaultTolerance, now: time.Now}, nil
}

// WithTolerance returns a copy whose timestamps may lie up to d from the clock, either way. A
// negative d accepts any timestamp, for requests that were recorded earlier.
func (v *Verifier) WithTolerance(d time.Duration) *Verifier {
	c := *v
	c.tolerance = d
	return &c
}

// WithClock returns a copy that asks now for the time, for tests.
func (v *Verifier) WithClock(now func() time.Time) *Verifier {
	c := *v
	c.now = now
	return &c
}

// Verify checks that body is what a holder of one of the secrets signed, and when. Body is the
// request's body as it came, read whole: decoding and encoding it again changes its bytes. The
// signature is checked before the timestamp, so ErrTooOld and ErrTooNew speak of genuine requests.
// The github scheme has no timestamp.
func (v *Verifier) Verify(header http.Header, body []byte) error {
	switch v.scheme {
	case Stripe:
		return v.verifyStripe(header, body)
	case GitHub:
		return v.verifyGitHub(header, body)
	case Standard:
	}
	return v.verifyStandard(header, body)
}

func (v *Verifier) verifyStandard(header http.Header, body []byte) error {
	id, err := required(header, HeaderID)
	if err != nil {
		return err
	}
	timestamp, err := required(header, HeaderTimestamp)
	if err != nil {
		return err
	}
	value, err := required(header, HeaderSignature)
	if err != nil {
		return err
	}
	unix, err := parseTimestamp(timestamp, HeaderTimestamp)
	if err != nil {
		return err
	}
	signatures := strings.Fields(value)
	if len(signatures) > maxSignatures {
		return fmt.Errorf("%w: %s holds more than %d signatures", ErrMalformedHeader, HeaderSignature, maxSignatures)
	}
	// What was signed is the timestamp's text, not its value.
	signed := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	signed = append(append(append(append(signed, id...), '.'), timestamp...), '.')
	signed = append(signed, body...)
	for i := range v.keys {
		if v.keys[i].matchStandard(signatures, signed) {
			return v.checkAge(unix)
		}
	}
	return ErrNoMatch
}

func (k *key) matchStandard(signatures []string, signed []byte) bool {
	var want string
	if k.shared != nil {
		want = "v1," + base64.StdEncoding.EncodeToString(sum(k.shared, signed, nil))
	}
	for _, s := range signatures {
		if k.shared != nil {
			if hmac.Equal([]byte(s), []byte(want)) {
				return true
			}
			continue
		}
		text, ok := strings.CutPrefix(s, "v1a,")
		if !ok {
			continue
		}
		sig, err := base64.StdEncoding.Strict().DecodeString(text)
		if err == nil && ed25519.Verify(k.public, signed, sig) {
			return true
		}
	}
	return false
}

func (v *Verifier) verifyStripe(header http.Header, body []byte) error {
	name := Stripe.Header()
	value, err := required(header, name)
	if err != nil {
		return err
	}
	var timestamp string
	var signatures []string
	for part := range strings.SplitSeq(value, ",") {
		k, val, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case k == "t" && timestamp == "":
			timestamp = val
		case k == "t" && timestamp != val:
			return fmt.Errorf("%w: %s holds two timestamps", ErrMalformedHeader, name)
		case k == "v1":
			signatures = append(signatures, val)
		}
	}
	unix, err := parseTimestamp(timestamp, name)
	if err != nil {
		return err
	}
	if !v.matchHex(signatures, []byte(timestamp+"."), body) {
		return ErrNoMatch
	}
	return v.checkAge(unix)
}

func (v *Verifier) verifyGitHub(header http.Header, body []byte) error {
	value, err := required(header, GitHub.Header())
	if err != nil {
		return err
	}
	sig, ok := strings.CutPrefix(value, "sha256=")
	if !ok {
		return fmt.Errorf("%w: %s does not start with sha256=", ErrMalformedHeader, GitHub.Header())
	}
	if !v.matchHex([]string{sig}, nil, body) {
		return ErrNoMatch
	}
	return nil
}

func (v *Verifier) matchHex(signatures []string, prefix, body []byte) bool {
	for i := range v.keys {
		want := hex.AppendEncode(nil, sum(v.keys[i].shared, prefix, body))
		for _, s := range signatures {
			if hmac.Equal([]byte(s), want) {
				return true
			}
		}
	}
	return false
}

func (v *Verifier) checkAge(unix int64) error {
	if v.tolerance < 0 {
		return nil
	}
	age := v.now().Unix() - unix
	limit := int64(v.tolerance / time.Second)
	switch {
	case age > limit:
		return fmt.Errorf("%w: signed %ds ago, tolerance %s", ErrTooOld, age, v.tolerance)
	case age < -limit:
		return fmt.Errorf("%w: signed %ds from now, tolerance %s", ErrTooNew, -age, v.tolerance)
	}
	return nil
}

func sum(secret, prefix, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	_, _ = m.Write(prefix) // a hash never fails
	_, _ = m.Write(body)
	return m.Sum(nil)
}

func required(header http.Header, name string) (string, error) {
	v := header.Get(name)
	if v == "" {
		return "", fmt.Errorf("%w: %s", ErrMissingHeader, name)
	}
	return v, nil
}

func parseTimestamp(s, header string) (int64, error) {
	if s == "" || len(s) > maxTimestampDigits || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%w: %s needs a Unix time in seconds", ErrMalformedHeader, header)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s needs a Unix time in seconds", ErrMalformedHeader, header)
	}
	return n, nil
}
