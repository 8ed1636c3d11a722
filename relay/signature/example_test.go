package signature_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/tailpost/tailpost/relay/signature"
)

// A receiver: read the body whole, verify it, then use it.
func ExampleVerifier_Verify() {
	verifier, err := signature.NewVerifier("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	receive := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "cannot read the body", http.StatusBadRequest)
			return
		}
		if err := verifier.Verify(r.Header, body); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "verified %s", r.Header.Get(signature.HeaderID))
	})

	signer, err := signature.NewSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{`{"total": 10}`, `{"total": 99}`} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/webhooks", strings.NewReader(body))
		r.Header = signer.Sign("evt_1", time.Now(), []byte(`{"total": 10}`))
		w := httptest.NewRecorder()
		receive(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 verified evt_1
	// 401 no signature matches
}

func ExampleNewVerifier() {
	// While the secret is being rotated, the receiver knows both.
	_, err := signature.NewVerifier("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
	fmt.Println(err)
	_, err = signature.NewVerifier("whsec_dG9vIHNob3J0")
	fmt.Println(err)
	fmt.Println(errors.Is(err, signature.ErrInvalidSecret))
	// Output:
	// <nil>
	// make verifier: secret 1 of 1: invalid secret: 9 bytes once decoded, want 24 to 64
	// true
}

func ExampleNewVerifierFor() {
	v, err := signature.NewVerifierFor(signature.GitHub, "It's a Secret to Everybody")
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{}
	header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	fmt.Println(v.Verify(header, []byte("Hello, World!")))
	fmt.Println(v.Verify(header, []byte("Hello, Mallory!")))
	// Output:
	// <nil>
	// no signature matches
}

func ExampleVerifier_WithClock() {
	v, err := signature.NewVerifier("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{}
	header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("webhook-timestamp", "1614265330")
	header.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	body := []byte(`{"test": 2432232314}`)
	for _, now := range []int64{1614265330, 1614266330} {
		fmt.Println(v.WithClock(func() time.Time { return time.Unix(now, 0) }).Verify(header, body))
	}
	// Output:
	// <nil>
	// timestamp too old: signed 1000s ago, tolerance 5m0s
}

func ExampleVerifier_WithTolerance() {
	v, err := signature.NewVerifierFor(signature.Stripe, "whsec_test")
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := signature.NewSignerFor(signature.Stripe, "whsec_test")
	if err != nil {
		fmt.Println(err)
		return
	}
	recorded := signer.Sign("evt_1", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), []byte("{}"))
	fmt.Println(errors.Is(v.Verify(recorded, []byte("{}")), signature.ErrTooOld))
	fmt.Println(v.WithTolerance(-1).Verify(recorded, []byte("{}")))
	// Output:
	// true
	// <nil>
}

func ExampleNewSigner() {
	signer, err := signature.NewSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
	if err != nil {
		fmt.Println(err)
		return
	}
	header := signer.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	fmt.Println(len(strings.Fields(header.Get("webhook-signature"))), "signatures")
	// Output:
	// 2 signatures
}

func ExampleNewSignerFor() {
	signer, err := signature.NewSignerFor(signature.GitHub, "It's a Secret to Everybody")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signer.Scheme(), signer.Scheme().Header())
	fmt.Println(string(signer.Append(nil, "", time.Now(), []byte("Hello, World!"))))
	// Output:
	// github X-Hub-Signature-256
	// sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17
}

func ExampleSigner_Append() {
	signer, err := signature.NewSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	head := []byte("webhook-signature: ")
	head = signer.Append(head, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	fmt.Println(string(head))
	// Output:
	// webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
}

func ExampleSigner_Sign() {
	signer, err := signature.NewSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	header := signer.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	fmt.Println(header.Get("webhook-id"))
	fmt.Println(header.Get("webhook-timestamp"))
	fmt.Println(header.Get("webhook-signature"))
	// Output:
	// msg_p5jXN8AQM9LWM0D4loKWxJek
	// 1614265330
	// v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
}

func ExampleSigner_Scheme() {
	signer, err := signature.NewSigner(signature.GenerateSecret())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signer.Scheme())
	// Output:
	// standard
}

func ExampleScheme_Header() {
	for _, s := range []signature.Scheme{signature.Standard, signature.Stripe, signature.GitHub} {
		fmt.Println(s, s.Header())
	}
	// Output:
	// standard webhook-signature
	// stripe Stripe-Signature
	// github X-Hub-Signature-256
}

func ExampleGenerateSecret() {
	secret := signature.GenerateSecret()
	fmt.Println(secret[:6], len(secret))
	// Output:
	// whsec_ 50
}

func ExampleGenerateKeyPair() {
	private, public := signature.GenerateKeyPair()
	fmt.Println(private[:5], len(private), public[:5], len(public))
	// Output:
	// whsk_ 93 whpk_ 49
}

func ExamplePublicKey() {
	private, public := signature.GenerateKeyPair()
	derived, err := signature.PublicKey(private)
	fmt.Println(derived == public, err)
	// Output:
	// true <nil>
}
