// Package signature signs webhooks and verifies them, in each scheme that Tailpost's endpoints can
// ask for:
//
//	scheme    header               covers             secrets
//	standard  webhook-signature    id.timestamp.body  whsec_… (HMAC-SHA256, "v1"),
//	                                                  whsk_…/whpk_… (Ed25519, "v1a")
//	stripe    Stripe-Signature     timestamp.body     any text (HMAC-SHA256, "v1")
//	github    X-Hub-Signature-256  body               any text (HMAC-SHA256, "sha256")
//
// A secret that may be any text is used as it is.
//
// The standard scheme is Standard Webhooks 1.0.0 (https://www.standardwebhooks.com); its receivers
// can use any of that project's libraries as well as this package. It depends on the standard
// library only, so that a receiver can import it and nothing else of Tailpost.
//
// A receiver makes one [Verifier] at start and calls Verify with each request's header and its
// body, read whole and not decoded. While a secret is being rotated, both the sender and the
// receiver may hold several.
//
// The package never logs, keeps no state between requests (so it cannot tell a replayed request
// from a retried one within the tolerance: remember webhook-id for that), and no error it returns
// contains a secret.
package signature
