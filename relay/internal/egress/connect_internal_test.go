package egress

import (
	"context"
	"errors"
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

// Where no address of a name is reached, what is said is of the one that the resolver put first.
func TestConnect_saysWhatBecameOfTheFirst(t *testing.T) {
	t.Parallel()
	failures := map[string]error{"127.0.0.1:9": errors.New("the first"), "127.0.0.1:10": errors.New("the second"), "127.0.0.1:11": errors.New("the third")}
	d, err := New(Options{Dialer: &net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return failures[address]
	}}})
	require.NoError(t, err)
	_, err = d.connect(t.Context(), []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("127.0.0.1:10"), netip.MustParseAddrPort("127.0.0.1:11"),
	})
	require.ErrorIs(t, err, failures["127.0.0.1:9"])
}
