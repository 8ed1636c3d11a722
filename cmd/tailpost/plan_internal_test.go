package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay"
)

// A plan says everything that it found, and counts what a relay would do.
func TestAPlanIsShownWhole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ plan, want string }{
		"all kinds": {`{
			"endpoints": [
				{"id": "a", "action": "add", "matched": 2, "newly_matched": 2},
				{"id": "b", "action": "change", "settings": [{"name": "url", "before": "x", "after": ""}], "no_longer_matched": 1, "matched_before": 1, "notes": ["Later."]},
				{"id": "c", "action": "return"}, {"id": "d", "action": "remove", "notes": ["It was \u001b[31mred."]}],
			"versions": [
				{"version": "2026-01-01", "action": "add"},
				{"version": "2025-01-01", "action": "remove", "endpoints": 1, "of_api": 1, "examples": ["e"]},
				{"version": "2024-01-01", "action": "change", "endpoints": 2, "examples": ["e", "f"]}],
			"blocks": ["retry"], "drift": [{"id": "g", "detail": "Paused."}], "pins": [{"version": "2023-01-01", "endpoints": 1, "examples": ["h"]}], "looked_at": 3, "whole": true}`, `
+ a: add
    of the newest 3 events it got 0 and would get 2: 2 more, 0 less
~ b: change
    url            x -> not set
    of the newest 3 events it got 1 and would get 0: 0 more, 1 less
    Later.
+ c: return
- d: remove
    It was \x1b[31mred.
+ version 2026-01-01: add
    no endpoint gets other data by it
- version 2025-01-01: remove
    1 endpoint gets other data by it, 1 of the API: e
~ version 2024-01-01: change
    2 endpoints get other data by it, 0 of the API: e, f
~ block retry: change
! g: Paused.
! version 2023-01-01: not in the configuration, and 1 endpoint of the API pin it (h): what they should get waits
3 to add, 3 to change, 2 to remove
`},
		"cut short": {`{"blocks": ["log"], "looked_at": 1}`, `
~ block log: change
Subscriptions were tried on 1 event only: time or size set an end
0 to add, 1 to change, 0 to remove
`},
		"without events": {`{"blocks": ["log"], "note": "no table"}`, `
~ block log: change
No subscription was tried: no table
0 to add, 1 to change, 0 to remove
`},
		"not compared": {`{"uncompared": "no relay yet", "whole": true}`, `
! version and other blocks were not compared: no relay yet
0 to add, 0 to change, 0 to remove
`},
		"nothing": {`{"whole": true}`, "No changes. Not compared: secrets, values of headers, what is redacted of URLs, and where a relay connects, listens and logs\n"},
	} {
		var p relay.Plan
		require.NoError(t, json.Unmarshal([]byte(test.plan), &p))
		var out bytes.Buffer
		require.NoError(t, printPlan(&app{stdout: &out}, &p))
		require.Equal(t, strings.TrimPrefix(test.want, "\n"), out.String(), name)
	}
}
