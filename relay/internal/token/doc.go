// Package token fetches and keeps the OAuth 2 access tokens that requests to an endpoint carry (RFC
// 6749, section 4.4: client credentials; RFC 7523: assertions that a key of ours signs).
//
//	Token ─▶ kept, and good for a while yet? ─▶ its value
//	            └─ no: one fetch at a time ─▶ egress (guard, proxy) ─▶ token endpoint
//	                     └─ it failed: everybody hears so, for a pause that grows
//
// The token endpoint is reached as receivers are: through the same guard and proxy. Errors say what
// it answered in words of this package; its own text and its URL are in none of them.
package token
