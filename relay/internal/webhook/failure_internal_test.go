package webhook

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

// TestWhatTLSSaysAfterTheHandshake, on either side, is what an attempt says: a receiver that asks
// for a client's certificate only once it knows the path asks for a new handshake, which this side
// refuses.
func TestWhatTLSSaysAfterTheHandshake(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		op, text, want string
	}{
		"the receiver refuses": {"remote error", "tls: bad certificate", "TLS: refused by the receiver: bad certificate"},
		"this side refuses":    {"local error", "tls: bad record MAC", "TLS: bad record MAC"},
		"a new handshake": {
			"local error", "tls: no renegotiation",
			"TLS: the receiver asks for a new handshake, as IIS does for a client certificate of some paths; it must ask for it in the first one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := &http1.Error{During: http1.Waiting, Err: &net.OpError{Op: test.op, Err: errors.New(test.text)}}
			require.Equal(t, test.want, explain(t.Context(), err, time.Second))
		})
	}
}
