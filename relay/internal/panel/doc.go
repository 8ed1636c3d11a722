// Package panel is the web page of a relay: what is sent, what failed and why, and what a person
// can do about it.
//
// It owns what a browser sees under /panel/: pages, style, script, fonts, the session that a login
// with an API key opens, and the protection of forms. It has no privileged path: whatever it shows
// or changes is a call of the API, made in this process with the session's key, so that scopes,
// tenant and audit are the API's own. It knows no SQL; the statements that it offers for copying
// are text.
//
// It has a second face, the customer portal under /portal/: the same handlers for the endpoints,
// the log and the catalogue of one tenant, for visitors who came by a link that the API made. It
// has cookies and sessions of its own, looks as the configuration says, and may be framed by the
// pages that the configuration names.
//
// Pages are rendered by the server and work without JavaScript. A session is in one of these
// states:
//
//	        login                    idle for 2 h, older than 12 h,
//	none ────────────▶ open ──────▶ logged out, or its key is gone
//	  ▲                                    │
//	  └────────────────────────────────────┘
//
// Without a key in the configuration the API answers programs of this machine only; then there is
// no login, and forms are protected all the same.
package panel
