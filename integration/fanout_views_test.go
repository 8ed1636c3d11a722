package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// viewed is what `GET /v1/relay` says of a fleet.
type viewed struct {
	Publishing struct {
		Partitions       int        `json:"partitions"`
		Alone            bool       `json:"alone"`
		UnpublishedSince *time.Time `json:"unpublished_since"`
	} `json:"publishing"`
	Partitions []struct {
		Number int    `json:"number"`
		Owner  string `json:"owner"`
	} `json:"partitions"`
	This struct {
		State string `json:"state"`
		Epoch int64  `json:"epoch"`
	} `json:"this"`
}

func view(t *testing.T, url string) (v viewed) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/relay", http.NoBody)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, string(text))
	require.NoError(t, json.Unmarshal(text, &v))
	return v
}

// TestAFleetSaysWhoHasWhat: which process has which partition, how far that is, and that NATS takes
// nothing, in the API and in the metrics.
func TestAFleetSaysWhoHasWhat(t *testing.T) {
	t.Parallel()
	const partitions = 4
	f := newFleet(t, 1, 3)
	f.fanout = `hold = "5s"`
	start := func(name string) (relay *kit.Relay, url string) {
		c := f.config(name, partitions)
		c.More += "metrics { listen = \"127.0.0.1:0\" }\n"
		sealing, _ := documentEnvironment("SEALING_KEY")
		relay = kit.StartRelay(t, kit.Options{Config: c, Env: map[string]string{"SEALING": sealing}})
		return relay, fmt.Sprint("http://", relay.Await(t, "the API listens", nil)["address"])
	}
	first, reader := start("a")
	first.Await(t, kit.LogDelivering, nil)
	second, other := start("b")
	f.db.Insert(t, orders(20)...)
	f.db.AwaitCount(t, 20*f.endpoints, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")

	kit.Eventually(t, kit.Patience, func() error {
		one := scrape(t, reader+"/metrics", "").number("tailpost_fanout_partitions_owned")
		two := scrape(t, other+"/metrics", "").number("tailpost_fanout_partitions_owned")
		if one != partitions/2 || two != partitions/2 {
			return fmt.Errorf("%v and %v partitions are owned", one, two)
		}
		return nil
	})
	for _, url := range []string{reader, other} {
		v := view(t, url)
		require.Equal(t, partitions, v.Publishing.Partitions)
		require.Nil(t, v.Publishing.UnpublishedSince)
		require.Len(t, v.Partitions, partitions)
		owners := make(map[string]int)
		for i, p := range v.Partitions {
			require.Equal(t, i, p.Number)
			owners[p.Owner]++
		}
		require.Len(t, owners, 2, "%v", owners)
		metrics := scrape(t, url+"/metrics", "")
		require.Zero(t, metrics.number("tailpost_fanout_unpublished_seconds"))
		for i := range partitions {
			require.GreaterOrEqual(t, metrics.number(fmt.Sprint("tailpost_fanout_partition_lag_bytes ", i)), 0.0)
		}
	}

	f.nats.Stop(0)
	f.db.Insert(t, orders(1)...)
	urls := map[string]*kit.Relay{reader: first, other: second}
	var holder string // it may be another one after each hold
	var epochs []int64
	for _, publishesTo := range []int{partitions, 0} { // it waits, then it delivers alone
		kit.Eventually(t, kit.Patience, func() error {
			for holder = range urls {
				v := view(t, holder)
				if v.This.State == "delivering" && v.Publishing.UnpublishedSince != nil && v.Publishing.Partitions == publishesTo {
					epochs = append(epochs, v.This.Epoch)
					return nil
				}
			}
			return fmt.Errorf("NATS is away, and none says so and that it publishes to %d", publishesTo)
		})
	}
	kit.Eventually(t, kit.Patience, func() error { // what is measured in the table is some seconds old
		metrics := scrape(t, holder+"/metrics", "")
		require.GreaterOrEqual(t, metrics.number("tailpost_fanout_unpublished_seconds"), 5.0)
		if _, stays := metrics["tailpost_fanout_partition_lag_bytes 0"]; stays {
			return errors.New("partitions that nothing is published to have a lag")
		}
		return nil
	})
	require.Equal(t, epochs[0]+1, epochs[1], "whoever takes the slot next does not wait again")
	require.Empty(t, view(t, holder).Partitions)
	killed := urls[holder]
	delete(urls, holder)
	for holder = range urls {
		v := view(t, holder).Publishing
		require.Nil(t, v.UnpublishedSince, "of one that has not the slot")
		require.True(t, v.Alone, "but whoever is asked knows that NATS takes nothing")
	}
	killed.Kill()
	kit.Eventually(t, kit.Patience, func() error {
		if v := view(t, holder); v.This.State != "delivering" || v.Publishing.UnpublishedSince == nil {
			return fmt.Errorf("the other one has not taken the slot: %+v", v)
		}
		return nil
	})
	require.Zero(t, view(t, holder).Publishing.Partitions, "it had waited for NATS as long, and does not again")
	f.nats.Start(t, 0)
	f.db.AwaitCount(t, 21*f.endpoints, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	kit.Eventually(t, kit.Patience, func() error {
		if p := view(t, holder).Publishing; p.Alone || p.UnpublishedSince != nil || p.Partitions != partitions {
			return fmt.Errorf("NATS is back, and it says %+v", p)
		}
		return nil
	})
	require.Zero(t, urls[holder].Stop(t))
}
