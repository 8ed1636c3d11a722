package postgres

import "time"

// LastContact is when we sent the last status that the server is known to have read.
func (s *Stream) LastContact() time.Time { return s.contact.at() }
