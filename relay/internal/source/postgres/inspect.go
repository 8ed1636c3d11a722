package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Inspection reports what a stream would find. Nothing was changed.
type Inspection struct {
	Info         Info
	Publications []PublicationState
	Slot         *SlotState // nil: there is none
	// SlotError is why the slot can never be this stream's, with the remedy; nil: it can.
	SlotError error
	// PluginError is why the server does not decode for the stream, with the remedy; nil: it does,
	// or it is not known.
	PluginError error
	// PluginHidden reports whether the role may not read which plugins the server allows.
	PluginHidden bool
}

// PublicationState is a publication that the stream needs.
type PublicationState struct {
	Name        string
	Exists      bool
	Differences []string // from what it must be
	Advice      string   // what had better be otherwise about it
	SQL         string   // makes or mends it; empty: it is as it should be
	Err         error    // why it cannot be told, for example a table that is missing; nil: it can
}

// SlotState is the stream's replication slot.
type SlotState struct {
	ActivePID string // of the connection that streams from it; empty: nobody does
	Lost      string // why it is of no more use; empty: it is
	Failover  bool   // standbys keep a copy of it
}

// Inspect connects as Open does, and reads what that would use or set up. An error is one that Open
// would return too.
func Inspect(ctx context.Context, o Options) (*Inspection, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("inspect the stream: %w", err)
	}
	s, err := connect(ctx, o, func(r io.Reader) io.Reader { return r })
	if err != nil {
		return nil, err
	}
	defer s.conn.Close(context.WithoutCancel(ctx))
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if o.Admit != nil {
		if err := o.Admit(ctx, s.info); err != nil {
			return nil, err
		}
	}
	found := &Inspection{Info: s.info}
	for _, want := range s.publications() {
		have, err := s.readPublication(ctx, want)
		state := PublicationState{Name: want.name, Exists: have.exists, Err: err}
		if err == nil {
			if state.Differences = want.differences(have); len(state.Differences) > 0 {
				state.SQL = want.sql(have)
			} else {
				state.Advice, state.SQL = want.advice(have)
			}
		}
		found.Publications = append(found.Publications, state)
	}
	found.PluginHidden, err = checkPlugin(ctx, s)
	switch {
	case errors.Is(err, ErrSetup):
		found.PluginError = err
	case err != nil:
		return nil, err
	}
	have, err := s.readSlot(ctx)
	switch {
	case errors.Is(err, ErrSetup):
		found.SlotError = err
	case err != nil:
		return nil, err
	case have != nil:
		found.Slot = &SlotState{ActivePID: have.activePID, Lost: have.lost, Failover: have.failover}
	}
	return found, nil
}
