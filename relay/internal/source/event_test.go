package source_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

func TestUnrecordable(t *testing.T) {
	t.Parallel()
	good := outbox.Event{ID: "e-1", Type: "order.created", Key: strings.Repeat("é", 512), Tenant: "acme"}
	require.NoError(t, source.Unrecordable(&good))
	for name, spoil := range map[string]func(*outbox.Event){
		"id":     func(e *outbox.Event) { e.ID = strings.Repeat("x", 1025) },
		"key":    func(e *outbox.Event) { e.Key = "a\x00b" },
		"type":   func(e *outbox.Event) { e.Type = "order\xff" },
		"tenant": func(e *outbox.Event) { e.Tenant = strings.Repeat("t", 2000) },
	} {
		bad := good
		spoil(&bad)
		require.ErrorContains(t, source.Unrecordable(&bad), name)
		spoilt := bad
		require.ErrorContains(t, source.Fit(&bad), name)
		require.NoError(t, source.Unrecordable(&bad))
		rest := func(e outbox.Event) map[string]string {
			all := map[string]string{"id": e.ID, "key": e.Key, "type": e.Type, "tenant": e.Tenant}
			delete(all, name)
			return all
		}
		require.Equal(t, rest(spoilt), rest(bad), "what can be on record stays")
	}
}

// What a database of an encoding may not be able to hold is left out, and nothing else is.
func TestEncode(t *testing.T) {
	t.Parallel()
	of := func(id, key, kind, tenant string) outbox.Event {
		return outbox.Event{ID: id, Key: key, Type: kind, Tenant: tenant}
	}
	for encoding, want := range map[string]outbox.Event{
		"":          of("e", "zoë", "ord€r", "ünï"),
		"UTF8":      of("e", "zoë", "ord€r", "ünï"),
		"SQL_ASCII": of("e", "zoë", "ord€r", "ünï"),
		"LATIN1":    of("e", "zoë", "", "ünï"),
		"WIN1252":   of("e", "", "", ""),
	} {
		e := of("e", "zoë", "ord€r", "ünï")
		why := source.Encode(&e, encoding)
		require.Equal(t, want, e, encoding)
		require.Equal(t, want.Type == "", why != nil, encoding)
	}
	e := of("é", "k", "t", "ÿ")
	require.NoError(t, source.Encode(&e, "LATIN1"))
	require.EqualError(t, source.Encode(&e, "LATIN2"), "id of the event has characters that a database in LATIN2 may not know", "the first")
	require.Equal(t, of("", "k", "t", ""), e)
}
