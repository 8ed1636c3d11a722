package integration_test

import (
	"context"
	"fmt"
	"net/http"
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
