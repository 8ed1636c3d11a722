package relay

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

func TestInvalidPayloadsAreCountedAndToldOfOnceInAMinute(t *testing.T) {
	t.Parallel()
	cfg := config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://localhost/app")}, API: config.API{Listen: "127.0.0.1:0"},
		Catalogue: config.Catalogue{Validate: config.ValidateWarn},
	}
	for i := range 2 * invalidTypes {
		cfg.Catalogue.Types = append(cfg.Catalogue.Types, config.EventType{Name: fmt.Sprint("t", i), Schema: []byte(`{"type": "object"}`)})
	}
	done, err := cfg.Complete()
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := &Relay{log: zerolog.New(&log)}
		check := newValidation(r, done)
		told := func() int { return strings.Count(log.String(), "not what its schema says") }
		say := func(name string) {
			require.Error(t, check(&outbox.Event{ID: "1", Type: name, Payload: []byte(`"4711"`)}))
		}
		require.NoError(t, check(&outbox.Event{Type: "t0", Payload: []byte(`{}`)}))
		for range 5 {
			say("t0")
		}
		require.Equal(t, 1, told())
		require.NotContains(t, log.String(), "4711")
		time.Sleep(invalidPause) //nolint:forbidigo // the clock of synctest
		say("t0")
		require.Equal(t, 2, told())
		for i := range 2 * invalidTypes {
			say(fmt.Sprint("t", i))
		}
		require.Equal(t, 2+invalidTypes-1, told(), "at most so many types in a minute")
		require.EqualValues(t, 5+1+2*invalidTypes, r.rare.InvalidPayloads())
	})
	cfg.Catalogue.Validate = config.ValidateOff
	done, err = cfg.Complete()
	require.NoError(t, err)
	require.Nil(t, newValidation(&Relay{}, done), "off costs nothing")
}
