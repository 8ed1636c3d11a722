package telemetry_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/telemetry"
)

func TestClocksThatAreApartAreReportedWhenItBeginsAndWhenItEnds(t *testing.T) {
	t.Parallel()
	for name, observe := range map[string]func(*telemetry.Clocks, time.Duration){
		"database": (*telemetry.Clocks).Database,
		"receiver": func(c *telemetry.Clocks, ahead time.Duration) { c.Receiver("erp", ahead) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			c := telemetry.NewClocks(zerolog.New(&log))
			lines := func() []string { return strings.Split(strings.TrimSpace(log.String()), "\n") }
			observe(c, 29*time.Second)
			observe(c, -29*time.Second)
			require.Empty(t, log.String(), "an answer's Date has whole seconds, and networks take their time")
			for range 3 {
				observe(c, -10*time.Minute)
			}
			require.Len(t, lines(), 1)
			require.Contains(t, lines()[0], `"level":"warn"`)
			require.Contains(t, lines()[0], `"ahead":-600000`)
			require.Contains(t, lines()[0], name)
			observe(c, 0)
			observe(c, 0)
			require.Len(t, lines(), 2)
			require.Contains(t, lines()[1], "agree again")
			for range 2 {
				observe(c, 30*time.Second)
				require.Len(t, lines(), 3, "from 30 seconds on it is worth a word, once")
			}
		})
	}
}

func TestAClockIsApartByWhatTheTimeOfAskingDoesNotExplain(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	ended := began.Add(4 * time.Second)
	for there, want := range map[time.Duration]time.Duration{
		-2 * time.Second: -2 * time.Second, 0: 0, 3 * time.Second: 0, 4 * time.Second: 0, 9 * time.Second: 5 * time.Second,
	} {
		require.Equal(t, want, telemetry.Apart(began.Add(there), began, ended), there)
	}
}

// TestSoManyReceiversAreRemembered: an application that makes endpoints without end does not fill
// the memory. Those that are remembered stay.
func TestSoManyReceiversAreRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 100_001 {
		b.clocks.Receiver("ep_"+strconv.Itoa(i), time.Hour)
		b.certificates.Presented("ep_"+strconv.Itoa(i), b.now.Add(time.Hour))
	}
	b.certificates.Presented("ep_7", b.now.Add(time.Minute))
	got := b.scrape(t)
	require.InDelta(t, 100_000, got["tailpost_receiver_clocks_apart"].GetGauge().GetValue(), 0)
	require.Len(t, b.database.known, 100_000)
	require.InDelta(t, b.now.Add(time.Minute).Unix(), got["tailpost_certificate_expiry_timestamp_seconds ep_7"].GetGauge().GetValue(), 0)
}

func TestClocksAreShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clocks.Receiver("erp", time.Hour)
	b.clocks.Receiver("crm", time.Hour)
	b.clocks.Receiver("crm", 0)
	b.database.answer.Now = b.now.Add(-10 * time.Minute)
	got := b.scrape(t)
	require.InDelta(t, 1, got["tailpost_receiver_clocks_apart"].GetGauge().GetValue(), 0)
	require.InDelta(t, -600, got["tailpost_database_clock_ahead_seconds"].GetGauge().GetValue(), 0)
}

// TestAClockIsForgottenWithItsEndpoint: nobody can mend that of a receiver whose endpoint is gone,
// and its answers are not waited for.
func TestAClockIsForgottenWithItsEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clocks.Receiver("gone", time.Hour)
	b.clocks.Receiver("kept", time.Hour)
	require.InDelta(t, 2, b.scrape(t)["tailpost_receiver_clocks_apart"].GetGauge().GetValue(), 0)
	require.Equal(t, []string{"gone", "kept"}, b.database.known, "the database is asked whether they are there")
	b.database.answer.Gone, b.now = []string{"gone"}, b.now.Add(time.Minute)
	require.InDelta(t, 1, b.scrape(t)["tailpost_receiver_clocks_apart"].GetGauge().GetValue(), 0)
}
