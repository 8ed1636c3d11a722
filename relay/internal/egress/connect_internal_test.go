package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
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

// TestConnect_letsEachHaveAHeadStart: the next address is tried beside those that have not
// answered, a while after the latest of them, and at once where that failed.
func TestConnect_letsEachHaveAHeadStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type try struct {
			address string
			at      time.Duration
		}
		began := time.Now()
		tries := make(chan try, 10)
		d, err := New(Options{Dialer: &net.Dialer{ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			tries <- try{address, time.Since(began)}
			if address == "127.0.0.1:10" {
				<-time.After(100 * time.Millisecond)
				return errors.New("this one fails")
			}
			<-ctx.Done()
			return ctx.Err()
		}}})
		require.NoError(t, err)
		var addrs []netip.AddrPort
		for port := range uint16(5) {
			addrs = append(addrs, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 9+port))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = d.connect(ctx, addrs)
		require.ErrorContains(t, err, "this one fails")
		require.Equal(t, time.Minute, time.Since(began))
		close(tries)
		const failed = headStart + 100*time.Millisecond
		for _, want := range []try{
			{"127.0.0.1:9", 0}, {"127.0.0.1:10", headStart}, {"127.0.0.1:11", failed}, {"127.0.0.1:12", failed + headStart}, {"127.0.0.1:13", failed + 2*headStart},
		} {
			require.Equal(t, want, <-tries)
		}
		require.Empty(t, tries)
	})
}

// A machine without IPv6 reaches nobody there, and lacks nothing that it will have later: that is
// neither the reason why a name has no address, nor why nothing is sent for now.
func TestDial_toWhereNothingComesFrom(t *testing.T) {
	t.Parallel()
	const there = "[2001:4860:4860::8888]:443"
	for name, comes := range map[string]bool{"no port is left": true, "no source address": false} {
		d, err := New(Options{Dialer: &net.Dialer{Control: func(string, string, syscall.RawConn) error {
			return syscall.EADDRNOTAVAIL
		}}})
		require.NoError(t, err)
		d.hasSource = func(_ context.Context, address string) bool { return comes || address != there }
		_, err = d.connect(t.Context(), []netip.AddrPort{netip.MustParseAddrPort(there)})
		require.Equal(t, comes, IsLocal(err), name)
		require.Equal(t, !comes, errors.Is(err, syscall.ENETUNREACH), name)
		_, err = d.connect(t.Context(), []netip.AddrPort{netip.MustParseAddrPort(there), netip.MustParseAddrPort(there)})
		require.Equal(t, comes, IsLocal(err), name)
		_, err = d.dialResolver(t.Context(), "udp", there)
		require.Error(t, err)
		require.Equal(t, comes, d.starved.Load() > 0, name)
	}
	require.True(t, hasSource(t.Context(), "127.0.0.1:9"))
}
