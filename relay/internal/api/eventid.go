package api

import "context"

// ofEvent is a request that has the id of an event.
type ofEvent interface {
	eventID() *string
}

func (f *AttemptFilter) eventID() *string          { return &f.EventID }
func (in *listDeliveriesInput) eventID() *string   { return &in.EventID }
func (in *selectDeliveriesInput) eventID() *string { return &in.Body.EventID }
func (in *getEventInput) eventID() *string         { return &in.ID }
func (in *listEventsInput) eventID() *string       { return &in.ID }
func (in *explainInput) eventID() *string          { return &in.ID }

// spellEvent writes the id of an event in a request as it is on record, so that all of an answer is
// about one event, however the caller spells it.
func spellEvent(ctx context.Context, s *Server, in any) (err error) {
	asked, ok := in.(ofEvent)
	if !ok || *asked.eventID() == "" {
		return nil
	}
	id := asked.eventID()
	*id, err = s.store.EventID(ctx, *id)
	return err
}
