package egress

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An address that swallows packets costs a name with another one the head start, and not the time
// of the whole attempt.
func TestConnect_waitsForNoneOfTheOthers(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	swallows := netip.MustParseAddrPort("127.0.0.1:9")
	d, err := New(Options{Dialer: &net.Dialer{ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
		if address == swallows.String() {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}})
	require.NoError(t, err)
	const patience = 60 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	c, err := d.connect(ctx, []netip.AddrPort{swallows, netip.MustParseAddrPort(l.Addr().String())})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Less(t, time.Since(began), patience/2)
}
