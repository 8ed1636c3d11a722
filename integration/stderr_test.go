package integration_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
)

// pipe is a stderr whose reader is the test. The relay's end is closed in this process once the
// relay has it.
func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = reader.Close(), writer.Close() }) // closed already, or not
	return reader, writer
}

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := pgserver.FreePort(t.Context())
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// A log shipper that is stuck stops neither deliveries nor their records nor the end of the
// process: lines are dropped, counted, and reported once it reads again.
func TestALogThatNobodyReadsStopsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reader, writer := pipe(t)
	config := b.db.Config(b.endpoint("erp", "concurrency = 64"))
	address := freeAddress(t)
	config.More = fmt.Sprintf("metrics { listen = %q }", address)
	relay := kit.StartRelay(t, kit.Options{Config: config, Stderr: writer, Plain: !soaks()})
	require.NoError(t, writer.Close())
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE slot = $1", b.db.Slot)
	// At level debug each is a line of some 200 bytes: 2 MB, of which a pipe and the queue hold
	// half.
	const events, dropped = 10_000, "tailpost_log_lines_dropped_total"
	b.db.Insert(t, orders(events)...)
	b.db.AwaitAttempts(t, "erp", events)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	n := scrape(t, "http://"+address+"/metrics", "").number(dropped)
	require.Positive(t, n)

	// The reader is back.
	told := make(chan float64, 1)
	go func() {
		defer close(told)
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			var record kit.Record
			if json.Unmarshal(lines.Bytes(), &record) == nil && record["message"] == "log lines were dropped: nobody read stderr, or it could not be written" {
				lines, _ := record["lines"].(float64)
				told <- lines
				return
			}
		}
	}()
	require.GreaterOrEqual(t, <-told, n)

	// And away again.
	b.db.Insert(t, orders(events)...)
	b.db.AwaitAttempts(t, "erp", 2*events)
	require.Greater(t, scrape(t, "http://"+address+"/metrics", "").number(dropped), n)
	require.Zero(t, relay.Stop(t))
}

// When the reader of the log goes away the relay lives on.
func TestALogWhoseReaderIsGoneStopsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reader, writer := pipe(t)
	relay := kit.StartRelay(t, kit.Options{Config: b.db.Config(b.endpoint("erp", "")), Stderr: writer})
	require.NoError(t, writer.Close())
	// A slot is active while it is being made, too, and what commits then is older than it.
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE slot = $1", b.db.Slot)
	require.NoError(t, reader.Close())
	ids := b.db.Insert(t, orders(20)...)
	b.exactlyOnce(t, "erp", ids)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Zero(t, relay.Stop(t))
}
