package doctor

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

func TestVersionsAreJudgedByTheirSupport(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 12, 0, 0, 0, 0, time.UTC)
	for version, want := range map[int]Grade{130010: Failure, 140000: Warning, 140012: Warning, 150004: OK, 180001: OK, 190000: OK} {
		found, err := examineVersion(t.Context(), &patient{Options: Options{Now: now}, server: server{Version: version}})
		require.NoError(t, err)
		require.Equal(t, want, found.Grade, version)
	}
	found, err := examineVersion(t.Context(), &patient{Options: Options{Now: now.AddDate(0, 0, -1)}, server: server{Version: 140012}})
	require.NoError(t, err)
	require.Equal(t, OK, found.Grade, "the last day of its support")
}

func TestFromPostgres19OnASlotHasTheServerDecode(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]map[int]Grade{
		"logical": {150004: OK, 190000: OK}, "replica": {150004: Failure, 180006: Failure, 190000: OK}, "minimal": {150004: Failure, 190000: Failure},
	} {
		for version, grade := range want {
			found, err := examineWALLevel(t.Context(), &patient{server: server{Version: version, WALLevel: level}})
			require.NoError(t, err)
			require.Equal(t, grade, found.Grade, "%d %s", version, level)
		}
	}
}

func TestClocksAreJudgedByWhatReceiversTake(t *testing.T) {
	t.Parallel()
	asked := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	answered := asked.Add(2 * time.Second)
	for there, want := range map[time.Duration]Grade{
		time.Second: OK, 31 * time.Second: OK, 32 * time.Second: Warning, -29 * time.Second: OK, -30 * time.Second: Warning,
		302 * time.Second: Failure, -5 * time.Minute: Failure,
	} {
		found, err := examineClock(t.Context(), &patient{server: server{Asked: asked, Answered: answered, Clock: asked.Add(there)}})
		require.NoError(t, err)
		require.Equal(t, want, found.Grade, there)
		require.Equal(t, want != OK && there < 0, found.Grade != OK && strings.Contains(found.Detail, "behind"), there)
	}
}

func TestAnIdleSlotThatIsGivenUpIsAWarning(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]Grade{"0": OK, "0s": OK, "1h": Warning} {
		found, err := examineSlotTimeout(t.Context(), &patient{server: server{SlotTimeout: setting}})
		require.NoError(t, err)
		require.Equal(t, want, found.Grade, setting)
	}
}

func TestTheNamesOfChecksAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "cli-json.md"))
	require.NoError(t, err)
	names := []string{"connection", "endpoint"}
	for _, c := range checks() {
		names = append(names, c.name)
	}
	for _, name := range names {
		require.Contains(t, string(page), "`"+name+"`")
	}
}

func TestWhatTheSlotMayKeepIsToldInTheTimeThatItLasts(t *testing.T) {
	t.Parallel()
	const rate = 1 << 20 // a second
	for _, test := range []struct {
		kept   int64 // MiB
		rate   float64
		grade  Grade
		detail string
	}{
		{-1, rate, Warning, "can fill the disk"},
		{1200, rate, Warning, "which is 20 minutes at the rate so far"},
		{3500, rate, Warning, "which is 58 minutes at the rate so far"},
		{0, rate, Warning, "which is 0 minutes at the rate so far"},
		{3600, rate, OK, "which is 1 hours at the rate so far"},
		{7200, rate, OK, "which is 2 hours at the rate so far"},
		{3600 * 48, rate, OK, "which is 48 hours at the rate so far"},
		{1, 0, OK, "the slot may keep 1 MB of the log"},
		{1024, 0, OK, "the slot may keep 1 GB of the log"},
		{3 << 19, 0, OK, "the slot may keep 1.5 TB of the log"},
	} {
		found, err := examineWALKept(t.Context(), &patient{server: server{Kept: test.kept, WALRate: test.rate}})
		require.NoError(t, err)
		require.Equal(t, test.grade, found.Grade, found.Detail)
		require.Contains(t, found.Detail, test.detail)
	}
}

func TestWhatNATSLacksIsJudgedByWhetherEventsGetThrough(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err         error
		there       int
		grade       Grade
		detail, fix string
	}{
		{jetstream.ErrUnreachable, 0, Failure, "nats:4222: NATS cannot be reached", "fanout.url"},
		{jetstream.ErrRefused, 0, Failure, "nats:4222: NATS refuses", "fanout.credentials"},
		{jetstream.ErrForbidden, 0, Failure, "nats:4222: ", "let the user publish"},
		{jetstream.ErrNoJetStream, 0, Failure, "nats:4222: ", "jetstream {"},
		{jetstream.ErrNoAnswer, 0, Failure, "nats:4222: ", "have chosen a leader"},
		{jetstream.ErrNoQuorum, 0, Failure, "nats:4222: ", "whoever has the slot delivers alone"},
		{jetstream.ErrDegraded, 0, Warning, "nats:4222: ", "once most are away"},
		{jetstream.ErrSetup, 0, Failure, jetstream.ErrSetup.Error(), ""},
		{io.EOF, 0, Failure, "nats:4222: EOF", ""},
		{nil, 2, OK, "NATS answers at nats:4222, and 2 of 3 streams are there", ""},
		{nil, 3, OK, "NATS answers at nats:4222, and its 3 streams are set up", ""},
	} {
		found, err := judgeNATS("nats:4222", test.there, 3, test.err)
		require.NoError(t, err)
		require.Equal(t, test.grade, found.Grade, found.Detail)
		require.True(t, strings.HasPrefix(found.Detail, test.detail), found.Detail)
		require.True(t, found.Fix == test.fix || test.fix != "" && strings.Contains(found.Fix, test.fix), "%v: %q", test.err, found.Fix)
	}
}
