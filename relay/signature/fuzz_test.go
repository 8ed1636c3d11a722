package signature_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/signature"
)

// FuzzVerify: no header makes a verifier panic, and none passes but one that a signer could have
// made.
func FuzzVerify(f *testing.F) {
	f.Add("standard", vectorID, "1614265330", vectorValue)
	f.Add("standard", vectorID, "1614265330", "v1a,AAAA "+vectorValue+" v2,")
	f.Add("stripe", "", "", "t=1614265330,v1=00,v0=11")
	f.Add("github", "", "", "sha256=00")
	_, public := signature.GenerateKeyPair()
	f.Fuzz(func(t *testing.T, scheme, id, timestamp, value string) {
		secrets := []string{vectorSecret}
		if scheme == string(signature.Standard) {
			secrets = append(secrets, public)
		}
		v, err := signature.NewVerifierFor(signature.Scheme(scheme), secrets...)
		if err != nil {
			return
		}
		header := http.Header{}
		header.Set(signature.HeaderID, id)
		header.Set(signature.HeaderTimestamp, timestamp)
		header.Set(signature.Scheme(scheme).Header(), value)
		body := []byte(vectorBody)
		if v.WithTolerance(-1).Verify(header, body) != nil {
			return
		}
		// It passes: then so does what our own signer makes of the same id and time, and not with
		// another body.
		require.ErrorIs(t, v.WithTolerance(-1).Verify(header, append(body, ' ')), signature.ErrNoMatch)
		if scheme == string(signature.Standard) {
			own := newSigner(t, signature.Standard, vectorSecret)
			require.Contains(t, value, string(own.Append(nil, id, at(mustUnix(t, timestamp))(), body)))
		}
	})
}

func mustUnix(t *testing.T, s string) int64 {
	t.Helper()
	var n int64
	for _, c := range s {
		n = n*10 + int64(c-'0')
	}
	return n
}
