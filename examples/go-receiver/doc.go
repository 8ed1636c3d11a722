// Command go-receiver receives webhooks and verifies them with the public Standard Webhooks
// library.
//
// It owns what it does about an event, once for each; it trusts nothing that does not verify.
// (Package relay/signature of Tailpost verifies too, with Ed25519 keys as well, and needs nothing
// but the standard library.)
package main
