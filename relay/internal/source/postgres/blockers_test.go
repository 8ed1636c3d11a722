package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// opening opens a stream in the background and returns what it says while it waits, and its end.
func (b *testBundle) opening(t *testing.T, o postgres.Options) (waits <-chan string, opened <-chan error) {
	t.Helper()
	told, ended := make(chan string, 1), make(chan error, 1)
	o.WaitNotice = 50 * time.Millisecond
	o.Waiting = func(by string) {
		select {
		case told <- by:
		default:
		}
	}
	go func() {
		s, err := postgres.Open(t.Context(), o)
		if err == nil {
			s.Close()
		}
		ended <- err
	}()
	return told, ended
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s took longer than %s", what, patience)
		panic("unreachable")
	}
}

func TestTheCreationOfASlotSaysWhoHoldsItUp(t *testing.T) {
	t.Parallel()
	t.Run("a transaction", func(t *testing.T) {
		t.Parallel()
		_, b := setupServer(t, nil) // no slot of another test waits for this transaction
		conn, err := pgx.Connect(t.Context(), b.url+"&application_name=importer")
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		var pid int
		_, err = conn.Exec(t.Context(), "BEGIN; SELECT txid_current()")
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
		waits, opened := b.opening(t, b.options())
		by := receive(t, waits, "a word about who blocks")
		require.Contains(t, by, fmt.Sprintf("process %d of role ", pid))
		require.Contains(t, by, `application "importer", open for `)
		require.Contains(t, by, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))

		// Another relay that comes meanwhile learns that nobody delivers yet, and why.
		s := b.open(t, b.options())
		err = s.Start(t.Context())
		require.ErrorIs(t, err, postgres.ErrSlotActive)
		require.ErrorIs(t, err, postgres.ErrSlotUnready)
		require.ErrorContains(t, err, fmt.Sprintf("process %d of role ", pid))

		_, err = conn.Exec(t.Context(), "COMMIT")
		require.NoError(t, err)
		require.NoError(t, receive(t, opened, "opening"))
	})
	t.Run("although the first look fails", func(t *testing.T) {
		t.Parallel()
		_, b := setupServer(t, nil)
		b.exec(t, "BEGIN; SELECT txid_current()")
		p := newProxy(t, b.url, nil)
		p.mu.Lock()
		p.refuse = 2 // the first one is the stream's
		p.mu.Unlock()
		o := b.options()
		o.URL = p.url
		waits, opened := b.opening(t, o)
		require.Contains(t, receive(t, waits, "a word about who blocks"), "pg_terminate_backend")
		b.exec(t, "COMMIT")
		require.NoError(t, receive(t, opened, "opening"))
	})
	t.Run("a prepared transaction", func(t *testing.T) {
		t.Parallel()
		_, b := setupServer(t, nil)
		gid := b.slot + " it's"
		b.exec(t, "BEGIN; INSERT INTO neighbour VALUES (1); PREPARE TRANSACTION '"+b.slot+" it''s'")
		waits, opened := b.opening(t, b.options())
		by := receive(t, waits, "a word about who blocks")
		require.Contains(t, by, fmt.Sprintf("prepared transaction %q of role ", gid))
		require.Contains(t, by, ", open for ")
		require.Contains(t, by, "ROLLBACK PREPARED '"+b.slot+" it''s'")
		b.exec(t, "ROLLBACK PREPARED '"+b.slot+" it''s'")
		require.NoError(t, receive(t, opened, "opening"))
	})
}

func TestASlotThatAnotherStreamsFromIsNotOneThatIsBeingCreated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.open(t, b.options())
	require.NoError(t, first.Start(t.Context()))
	err := b.open(t, b.options()).Start(t.Context())
	require.ErrorIs(t, err, postgres.ErrSlotActive)
	require.NotErrorIs(t, err, postgres.ErrSlotUnready)
}

func TestTheServersClockIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	info := b.open(t, b.options()).Info()
	require.WithinRange(t, info.Clock, info.Asked.Add(-time.Second), info.Answered.Add(time.Second), "it is this machine's")
}
