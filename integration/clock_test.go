package integration_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// refuseAt refuses requests and says that it is so much later.
func refuseAt(ahead *atomic.Int64) kit.Behaviour {
	return func(_ context.Context, w http.ResponseWriter, _ kit.Request) int {
		at := time.Now().Add(time.Duration(ahead.Load()))
		w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
		return http.StatusUnauthorized
	}
}

// A receiver that refuses signatures because its clock is apart from the relay's is noticed before
// its deliveries are dead, and so is that it is right again.
func TestAReceiverWithAnotherClockIsNoticed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const apart = "the receiver's clock and the relay's are apart: it may refuse signatures for their time; synchronise both (NTP)"
	var slow, right atomic.Int64
	slow.Store(int64(-10 * time.Minute))
	b.receiver.On("/slow", refuseAt(&slow))
	b.receiver.On("/right", refuseAt(&right))
	config := b.db.Config(b.endpoint("slow", fast), b.endpoint("right", fast), b.endpoint("erp", ""))
	address := freeAddress(t)
	config.More = fmt.Sprintf("metrics { listen = %q }", address)
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Insert(t, orders(2)...)
	ahead, _ := relay.Await(t, apart, kit.Record{"endpoint": "slow", "level": "warn"})["ahead"].(float64)
	require.InDelta(t, -10*time.Minute.Milliseconds(), ahead, 5_000)
	b.db.AwaitCount(t, 4, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'")
	metrics := scrape(t, "http://"+address+"/metrics", "")
	require.InDelta(t, 1, metrics.number("tailpost_receiver_clocks_apart"), 0)
	require.InDelta(t, 0, metrics.number("tailpost_database_clock_ahead_seconds"), 1, "it is this machine's")

	slow.Store(0)
	b.db.Insert(t, orders(1)...)
	relay.Await(t, "the receiver's clock and the relay's agree again", kit.Record{"endpoint": "slow"})
	require.Zero(t, relay.Stop(t))
	told := 0
	for _, record := range relay.Log() {
		if record["message"] == apart {
			told++
		}
	}
	require.Equal(t, 1, told, "one line, whatever the number of attempts")
}

// clockText is a time in milliseconds within a row that Postgres sends as text: the length and the
// digits.
var clockText = regexp.MustCompile("\x00\x00\x00\x0d(1[6-9][0-9]{11})")

// elsewhen passes on what Postgres and a client say to each other, with a clock of Postgres that is
// ahead. It returns the address through it.
func elsewhen(t *testing.T, database string, ahead time.Duration) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	server := u.Host
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	ctx := context.WithoutCancel(t.Context())
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			to, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(to, client)
				_ = to.Close()
			}()
			go func() {
				defer client.Close()
				b := make([]byte, 1<<20)
				for {
					n, err := to.Read(b)
					changed := clockText.ReplaceAllFunc(b[:n], func(found []byte) []byte {
						ms, _ := strconv.ParseInt(string(found[4:]), 10, 64)
						return strconv.AppendInt(binary.BigEndian.AppendUint32(nil, 13), ms+ahead.Milliseconds(), 10)
					})
					if _, err2 := client.Write(changed); err != nil || err2 != nil {
						return
					}
				}
			}()
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

// A database whose clock is apart from the relay's is noticed when the slot is taken.
func TestADatabaseWithAnotherClockIsNoticed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	config.DatabaseURL = elsewhen(t, b.db.URL, 10*time.Minute)
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	record := relay.Await(t, "the database's clock and the relay's are apart: times of retries and signatures are the relay's, and nothing is removed until it is old by both; synchronise them (NTP)",
		kit.Record{"level": "warn"})
	ahead, _ := record["ahead"].(float64)
	require.InDelta(t, 10*time.Minute.Milliseconds(), ahead, 5_000)
	b.db.Insert(t, orders(1)...)
	b.db.AwaitAttempts(t, "erp", 1) // it delivers all the same
	require.Zero(t, relay.Stop(t))
}
