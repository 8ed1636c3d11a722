// Command go-client sets an endpoint up and sends what it missed once more, through a client that
// oapi-codegen generates from the API's OpenAPI document:
//
//	go generate
//	go run . setup crm https://crm.example.com/webhooks    # may run twice
//	go run . resend crm https://crm.example.com/webhooks
//
// It is a module of its own, so that the generator is no dependency of Tailpost.
package main
