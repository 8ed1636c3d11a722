package config

import (
	"crypto/sha256"
	"encoding/hex"
)

// Verify is how a receiver shows that it wants events, before the first of them.
type Verify string

// The ways.
const (
	VerifyEcho        Verify = "echo"        // it answers with the challenge that it is sent
	VerifyCloudEvents Verify = "cloudevents" // it allows our origin, by the specification of CloudEvents' webhooks
	VerifyNone        Verify = "none"        // not at all: the portal's word, and that of an endpoint against the defaults
)

// Proof returns what is on record of an endpoint once its URL has passed the verification that it
// asks for; empty: it asks for none.
func (e *Endpoint) Proof() string {
	if e.Verify == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(string(e.Verify) + "\x00" + e.URL))
	return hex.EncodeToString(sum[:16])
}

// Echoes reports whether the format of an endpoint has a place for a challenge. Messages for people
// have none, and who reads them answers nothing.
func (e *Endpoint) Echoes() bool { return e.Format != FormatSlack && e.Format != FormatTeams }
