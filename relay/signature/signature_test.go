package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/relay/signature"
)

// The public test vector of Standard Webhooks.
const (
	vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorUnix   = 1614265330
	vectorBody   = `{"test": 2432232314}`
	vectorValue  = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func at(unix int64) func() time.Time {
	return func() time.Time { return time.Unix(unix, 0) }
}

func newSigner(t require.TestingT, scheme signature.Scheme, secrets ...string) *signature.Signer {
	s, err := signature.NewSignerFor(scheme, secrets...)
	require.NoError(t, err)
	return s
}

func newVerifier(t require.TestingT, scheme signature.Scheme, secrets ...string) *signature.Verifier {
	v, err := signature.NewVerifierFor(scheme, secrets...)
	require.NoError(t, err)
	return v
}

func TestPublicVector(t *testing.T) {
	t.Parallel()
	s := newSigner(t, signature.Standard, vectorSecret)
	require.Equal(t, vectorValue, string(s.Append(nil, vectorID, time.Unix(vectorUnix, 0), []byte(vectorBody))))
	header := s.Sign(vectorID, time.Unix(vectorUnix, 0), []byte(vectorBody))
	require.Equal(t, http.Header{
		"Webhook-Id": {vectorID}, "Webhook-Timestamp": {"1614265330"}, "Webhook-Signature": {vectorValue},
	}, header)
	v := newVerifier(t, signature.Standard, vectorSecret).WithClock(at(vectorUnix))
	require.NoError(t, v.Verify(header, []byte(vectorBody)))
}

// TestStripeForm follows Stripe's description: HMAC-SHA256 of "timestamp.body" under the secret's
// text, in hex.
func TestStripeForm(t *testing.T) {
	t.Parallel()
	m := hmac.New(sha256.New, []byte(vectorSecret))
	m.Write([]byte("1614265330." + vectorBody))
	s := newSigner(t, signature.Stripe, vectorSecret, "another")
	got := string(s.Append(nil, "ignored", time.Unix(vectorUnix, 0), []byte(vectorBody)))
	require.True(t, strings.HasPrefix(got, "t=1614265330,v1="+hex.EncodeToString(m.Sum(nil))+",v1="), got)
	require.Len(t, got, len("t=1614265330")+2*len(",v1=")+2*64)
}

// TestGitHubVector is the example of GitHub's documentation on validating deliveries.
func TestGitHubVector(t *testing.T) {
	t.Parallel()
	s := newSigner(t, signature.GitHub, "It's a Secret to Everybody", "an older one")
	got := string(s.Append(nil, "ignored", time.Now(), []byte("Hello, World!")))
	require.Equal(t, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", got)
}

// TestStandardLibraryAgrees checks both directions against the Standard Webhooks project's own Go
// library.
func TestStandardLibraryAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := "whsec_" + base64.StdEncoding.EncodeToString(rapid.SliceOfN(rapid.Byte(), 24, 64).Draw(t, "secret"))
		id := rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "id")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		now := time.Now()
		theirs, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		header := newSigner(t, signature.Standard, signature.GenerateSecret(), secret).Sign(id, now, body)
		require.NoError(t, theirs.Verify(body, header))

		value, err := theirs.Sign(id, now, body)
		require.NoError(t, err)
		header.Set(signature.HeaderSignature, value)
		require.NoError(t, newVerifier(t, signature.Standard, secret).Verify(header, body))
	})
}

// genSecret draws a signer's secret and what its receivers verify with.
func genSecret(t *rapid.T, scheme signature.Scheme) (sign, verify string) {
	if scheme != signature.Standard {
		s := rapid.StringMatching(`[ -~]{1,50}`).Filter(func(s string) bool {
			return !strings.HasPrefix(s, "whsk_") && !strings.HasPrefix(s, "whpk_")
		}).Draw(t, "secret")
		return s, s
	}
	if rapid.Bool().Draw(t, "asymmetric") {
		return signature.GenerateKeyPair()
	}
	s := signature.GenerateSecret()
	return s, s
}

// TestRotation: what any live secret signed passes with any receiver that knows one of them, and
// nothing else does.
func TestRotation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		scheme := rapid.SampledFrom([]signature.Scheme{signature.Standard, signature.Stripe, signature.GitHub}).Draw(t, "scheme")
		var signs, verifies []string
		for range rapid.IntRange(1, 3).Draw(t, "secrets") {
			s, v := genSecret(t, scheme)
			signs, verifies = append(signs, s), append(verifies, v)
		}
		known := verifies[0] // github signs with the current one only
		if scheme != signature.GitHub {
			known = rapid.SampledFrom(verifies).Draw(t, "known")
		}
		id := rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "id")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		unix := rapid.Int64Range(0, 99_999_999_999).Draw(t, "unix")
		header := newSigner(t, scheme, signs...).Sign(id, time.Unix(unix, 0), body)

		other, otherVerify := genSecret(t, scheme)
		v := newVerifier(t, scheme, otherVerify, known).WithClock(at(unix))
		require.NoError(t, v.Verify(header, body))
		require.ErrorIs(t, v.Verify(header, append(body, 'x')), signature.ErrNoMatch)
		if !slices.Contains(signs, other) {
			require.ErrorIs(t, newVerifier(t, scheme, otherVerify).WithClock(at(unix)).Verify(header, body), signature.ErrNoMatch)
		}
		if scheme == signature.Standard {
			header.Set(signature.HeaderID, id+"x")
			require.ErrorIs(t, v.Verify(header, body), signature.ErrNoMatch)
		}
	})
}

func TestTolerance(t *testing.T) {
	t.Parallel()
	body := []byte("{}")
	for _, scheme := range []signature.Scheme{signature.Standard, signature.Stripe} {
		header := newSigner(t, scheme, vectorSecret).Sign("evt_1", time.Unix(vectorUnix, 0), body)
		v := newVerifier(t, scheme, vectorSecret)
		require.NoError(t, v.WithClock(at(vectorUnix+300)).Verify(header, body))
		require.NoError(t, v.WithClock(at(vectorUnix-300)).Verify(header, body))
		require.ErrorIs(t, v.WithClock(at(vectorUnix+301)).Verify(header, body), signature.ErrTooOld)
		require.ErrorIs(t, v.WithClock(at(vectorUnix-301)).Verify(header, body), signature.ErrTooNew)
		require.ErrorIs(t, v.Verify(header, body), signature.ErrTooOld, "the real clock")
		require.NoError(t, v.WithTolerance(-1).Verify(header, body), "any age")
		require.ErrorIs(t, v.WithTolerance(time.Minute).WithClock(at(vectorUnix+61)).Verify(header, body), signature.ErrTooOld)
		forged := newVerifier(t, scheme, signature.GenerateSecret())
		require.ErrorIs(t, forged.Verify(header, body), signature.ErrNoMatch, "the signature counts first")
	}
}

func TestVerifyErrors(t *testing.T) {
	t.Parallel()
	body := []byte(vectorBody)
	for name, test := range map[string]struct {
		scheme signature.Scheme
		header string
		value  string
		want   error
	}{
		"no id":                        {signature.Standard, "Webhook-Id", "", signature.ErrMissingHeader},
		"no timestamp":                 {signature.Standard, "Webhook-Timestamp", "", signature.ErrMissingHeader},
		"no signature":                 {signature.Standard, "Webhook-Signature", "", signature.ErrMissingHeader},
		"another timestamp":            {signature.Standard, "Webhook-Timestamp", "1614265331", signature.ErrNoMatch},
		"a timestamp with a sign":      {signature.Standard, "Webhook-Timestamp", "+1614265330", signature.ErrMalformedHeader},
		"a timestamp that is no time":  {signature.Standard, "Webhook-Timestamp", "yesterday", signature.ErrMalformedHeader},
		"a timestamp that overflows":   {signature.Standard, "Webhook-Timestamp", "99999999999999999999", signature.ErrMalformedHeader},
		"the same time written longer": {signature.Standard, "Webhook-Timestamp", "01614265330", signature.ErrNoMatch},
		"another version":              {signature.Standard, "Webhook-Signature", strings.Replace(vectorValue, "v1", "v2", 1), signature.ErrNoMatch},
		"another key type":             {signature.Standard, "Webhook-Signature", strings.Replace(vectorValue, "v1", "v1a", 1), signature.ErrNoMatch},
		"one of a key pair":            {signature.Standard, "Webhook-Signature", "v1a," + base64.StdEncoding.EncodeToString(make([]byte, 64)), signature.ErrNoMatch},
		"a cut signature":              {signature.Standard, "Webhook-Signature", vectorValue[:20], signature.ErrNoMatch},
		"a longer signature":           {signature.Standard, "Webhook-Signature", vectorValue + "=", signature.ErrNoMatch},
		"the right one among others":   {signature.Standard, "Webhook-Signature", "v1a,AAAA v2,x garbage " + vectorValue, nil},
		"too many":                     {signature.Standard, "Webhook-Signature", strings.Repeat("v1,x ", 33) + vectorValue, signature.ErrMalformedHeader},
		"stripe without header":        {signature.Stripe, "Stripe-Signature", "", signature.ErrMissingHeader},
		"stripe without time":          {signature.Stripe, "Stripe-Signature", "v1=00", signature.ErrMalformedHeader},
		"stripe with two times":        {signature.Stripe, "Stripe-Signature", "t=1614265330,t=1614265331,v1=00", signature.ErrMalformedHeader},
		"stripe without signature":     {signature.Stripe, "Stripe-Signature", "t=1614265330", signature.ErrNoMatch},
		"stripe with an old version":   {signature.Stripe, "Stripe-Signature", "t=1614265330,v0=00", signature.ErrNoMatch},
		"github without header":        {signature.GitHub, "X-Hub-Signature-256", "", signature.ErrMissingHeader},
		"github with sha1":             {signature.GitHub, "X-Hub-Signature-256", "sha1=00", signature.ErrMalformedHeader},
		"github with another":          {signature.GitHub, "X-Hub-Signature-256", "sha256=00", signature.ErrNoMatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := newSigner(t, test.scheme, vectorSecret).Sign(vectorID, time.Unix(vectorUnix, 0), body)
			v := newVerifier(t, test.scheme, vectorSecret).WithClock(at(vectorUnix))
			require.NoError(t, v.Verify(header, body), "before the change")
			header.Set(test.header, test.value)
			err := v.Verify(header, body)
			require.ErrorIs(t, err, test.want)
			if err != nil {
				require.NotContains(t, err.Error(), vectorSecret[6:])
			}
		})
	}
}

// TestEverySignatureIsComparedWhole: whatever the scheme and wherever it is cut, the beginning of
// the right signature is not the right signature; nor is it with more behind it, nor with one bit
// of it turned.
func TestEverySignatureIsComparedWhole(t *testing.T) {
	t.Parallel()
	body := []byte(vectorBody)
	private, public := signature.GenerateKeyPair()
	for name, test := range map[string]struct {
		scheme       signature.Scheme
		sign, verify string
		prefix       string
	}{
		"standard": {signature.Standard, vectorSecret, vectorSecret, "v1,"},
		"ed25519":  {signature.Standard, private, public, "v1a,"},
		"stripe":   {signature.Stripe, vectorSecret, vectorSecret, "t=1614265330,v1="},
		"github":   {signature.GitHub, vectorSecret, vectorSecret, "sha256="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := newSigner(t, test.scheme, test.sign).Sign(vectorID, time.Unix(vectorUnix, 0), body)
			v := newVerifier(t, test.scheme, test.verify).WithClock(at(vectorUnix))
			whole := header.Get(test.scheme.Header())
			require.True(t, strings.HasPrefix(whole, test.prefix), whole)
			require.NoError(t, v.Verify(header, body))
			refuse := func(value string) {
				t.Helper()
				header.Set(test.scheme.Header(), value)
				require.Error(t, v.Verify(header, body), value)
			}
			for n := len(test.prefix); n < len(whole); n++ {
				refuse(whole[:n])
				turned := []byte(whole)
				turned[n] ^= 1
				refuse(string(turned))
			}
			refuse(whole + "0")
			refuse(whole + whole[len(test.prefix):])
		})
	}
}

// TestPrivateAndPublicVerify: a receiver may hold either half; a pair from elsewhere may hold the
// seed alone.
func TestPrivateAndPublicVerify(t *testing.T) {
	t.Parallel()
	private, public := signature.GenerateKeyPair()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(private, "whsk_"))
	require.NoError(t, err)
	seed := "whsk_" + base64.StdEncoding.EncodeToString(raw[:32])
	body := []byte("{}")
	header := newSigner(t, signature.Standard, private).Sign("evt_1", time.Now(), body)
	require.True(t, strings.HasPrefix(header.Get("Webhook-Signature"), "v1a,"))
	require.Equal(t, header, newSigner(t, signature.Standard, seed).Sign("evt_1", headerTime(t, header), body))
	for _, secret := range []string{private, public, seed} {
		require.NoError(t, newVerifier(t, signature.Standard, secret).Verify(header, body))
		if secret != public {
			got, err := signature.PublicKey(secret)
			require.NoError(t, err)
			require.Equal(t, public, got)
		}
	}
	_, otherPublic := signature.GenerateKeyPair()
	require.ErrorIs(t, newVerifier(t, signature.Standard, otherPublic).Verify(header, body), signature.ErrNoMatch)
}

func headerTime(t *testing.T, header http.Header) time.Time {
	t.Helper()
	unix, err := strconv.ParseInt(header.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(t, err)
	return time.Unix(unix, 0)
}

func TestInvalidSecrets(t *testing.T) {
	t.Parallel()
	private, public := signature.GenerateKeyPair()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(private, "whsk_"))
	require.NoError(t, err)
	raw[63] ^= 1
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, test := range map[string]struct {
		scheme  signature.Scheme
		secrets []string
		want    string
	}{
		"none":                       {signature.Standard, nil, "none given"},
		"empty":                      {signature.Standard, []string{""}, "empty"},
		"empty after a good one":     {signature.Standard, []string{vectorSecret, ""}, "secret 2 of 2"},
		"not base64":                 {signature.Standard, []string{"whsec_hunter2-hunter2"}, "padded base64"},
		"no padding":                 {signature.Standard, []string{"whsec_" + strings.TrimRight(b64(32), "=")}, "padded base64"},
		"stray bits":                 {signature.Standard, []string{"whsec_" + strings.Replace(b64(32), "A=", "B=", 1)}, "padded base64"},
		"too short":                  {signature.Standard, []string{"whsec_" + b64(23)}, "23 bytes once decoded, want 24 to 64"},
		"too long":                   {signature.Standard, []string{"whsec_" + b64(65)}, "want 24 to 64"},
		"a private key and more":     {signature.Standard, []string{private + "!"}, "want whsk_"},
		"a seed and more":            {signature.Standard, []string{"whsk_" + b64(32) + "!"}, "want whsk_"},
		"a short private key":        {signature.Standard, []string{"whsk_" + b64(31)}, "want whsk_"},
		"halves of different keys":   {signature.Standard, []string{"whsk_" + base64.StdEncoding.EncodeToString(raw)}, "belong together"},
		"a short public key":         {signature.Standard, []string{"whpk_" + b64(31)}, "want whpk_"},
		"stripe with a key pair":     {signature.Stripe, []string{private}, "shared secret"},
		"github with a public key":   {signature.GitHub, []string{public}, "shared secret"},
		"github with an empty older": {signature.GitHub, []string{"x", ""}, "secret 2 of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := signature.NewSignerFor(test.scheme, test.secrets...)
			require.ErrorIs(t, err, signature.ErrInvalidSecret)
			require.ErrorContains(t, err, test.want)
			_, err = signature.NewVerifierFor(test.scheme, test.secrets...)
			require.ErrorIs(t, err, signature.ErrInvalidSecret)
			for _, s := range test.secrets {
				if _, text, ok := strings.Cut(s, "_"); ok {
					require.NotContains(t, err.Error(), text)
				}
			}
		})
	}
	_, err = signature.NewSigner(public)
	require.ErrorContains(t, err, "a public key cannot sign")
	_, err = signature.NewSignerFor("hmac", "x")
	require.ErrorContains(t, err, `unknown signature scheme "hmac": want "standard", "stripe" or "github"`)
	_, err = signature.PublicKey(vectorSecret)
	require.ErrorIs(t, err, signature.ErrInvalidSecret)
}

// TestGenerated: generated secrets have the documented form and are never the same.
func TestGenerated(t *testing.T) {
	t.Parallel()
	a, b := signature.GenerateSecret(), signature.GenerateSecret()
	require.NotEqual(t, a, b)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "whsec_"))
	require.NoError(t, err)
	require.Len(t, raw, 32)
	p1, q1 := signature.GenerateKeyPair()
	p2, q2 := signature.GenerateKeyPair()
	require.NotEqual(t, p1, p2)
	require.NotEqual(t, q1, q2)
}

// TestConcurrentSigning has the race detector watch one Signer at work on many goroutines.
func TestConcurrentSigning(t *testing.T) {
	t.Parallel()
	private, public := signature.GenerateKeyPair()
	s := newSigner(t, signature.Standard, vectorSecret, private)
	byHMAC, byKey := newVerifier(t, signature.Standard, vectorSecret), newVerifier(t, signature.Standard, public)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				body := []byte(strings.Repeat("x", 10*g*i))
				header := s.Sign("evt_"+strconv.Itoa(g), time.Now(), body)
				if byHMAC.Verify(header, body) != nil || byKey.Verify(header, body) != nil {
					t.Errorf("goroutine %d: signature %d does not verify", g, i)
				}
			}
		})
	}
	wg.Wait()
}

// TestAppendReusesStates counts allocations. The race detector makes a sync.Pool lose every fourth
// thing put into it, so the bound lies between none (as BenchmarkAppend shows) and what fresh
// states cost.
func TestAppendReusesStates(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts for the whole process
	for _, scheme := range []signature.Scheme{signature.Standard, signature.Stripe, signature.GitHub} {
		s := newSigner(t, scheme, vectorSecret, vectorSecret)
		dst, body, now := make([]byte, 0, 512), []byte(vectorBody), time.Now()
		allocs := testing.AllocsPerRun(100, func() { dst = s.Append(dst[:0], vectorID, now, body) })
		require.Less(t, allocs, 8.0, scheme)
	}
}

func BenchmarkAppend(b *testing.B) {
	private, _ := signature.GenerateKeyPair()
	for name, secret := range map[string]string{"hmac": vectorSecret, "ed25519": private} {
		b.Run(name, func(b *testing.B) {
			s := newSigner(b, signature.Standard, secret)
			dst, body, now := make([]byte, 0, 512), []byte(strings.Repeat("x", 500)), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				dst = s.Append(dst[:0], vectorID, now, body)
			}
		})
	}
}
