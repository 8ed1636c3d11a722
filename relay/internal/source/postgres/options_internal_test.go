package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOptionsThatNobodyGivesHaveDefaults(t *testing.T) {
	t.Parallel()
	o, err := Options{Slot: "s"}.withDefaults()
	require.NoError(t, err)
	require.Equal(t, Options{
		Slot: "s", EndpointTable: "tailpost.endpoint", ApplicationName: "tailpost",
		StatusInterval: 10 * time.Second, ReplyTimeout: time.Minute, WaitNotice: 5 * time.Second,
	}, o)
	given := Options{
		Slot: strings.Repeat("s", 54), Table: "app.events", EndpointTable: "other.endpoint", ApplicationName: "relay",
		StatusInterval: 1, ReplyTimeout: 2, WaitNotice: 3,
	}
	o, err = given.withDefaults()
	require.NoError(t, err)
	require.Equal(t, given, o, "what is given stays")
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		"at most 54": {Slot: strings.Repeat("s", 55)},
		`slot "S"`:   {Slot: "S"},
		"StatusInterval and ReplyTimeout must not be negative": {Slot: "s", StatusInterval: -1},
		"and ReplyTimeout must not be negative":                {Slot: "s", ReplyTimeout: -1},
		`table "outbox"`:                                       {Slot: "s", Table: "outbox"},
		`table ".outbox"`:                                      {Slot: "s", Table: ".outbox"},
		`table "public."`:                                      {Slot: "s", Table: "public."},
		`table "tailpost.": `:                                  {Slot: "s", EndpointTable: "tailpost."},
	} {
		_, err := o.withDefaults()
		require.ErrorContains(t, err, want)
	}
}
