package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"example.com/go-client/tailpost"
)

//go:generate mkdir -p tailpost
//go:generate go tool oapi-codegen -config oapi-codegen.yaml ../../relay/internal/api/openapi.json

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go-client setup|resend NAME URL")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "go-client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command, name, url string) error {
	client, err := tailpost.NewClientWithResponses(os.Getenv("TAILPOST_URL"), tailpost.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+os.Getenv("TAILPOST_API_KEY"))
			return nil
		}))
	if err != nil {
		return err
	}
	endpoint, err := setup(ctx, client, name, url)
	if err != nil || command == "setup" {
		return err
	}
	return resend(ctx, client, endpoint.Id)
}

// setup makes the endpoint of the name what it should be. Twice it changes nothing.
func setup(ctx context.Context, client *tailpost.ClientWithResponses, name, url string) (*tailpost.Endpoint, error) {
	res, err := client.PutEndpointWithResponse(ctx, &tailpost.PutEndpointParams{Name: name}, tailpost.NamedEndpoint{
		Url: url, Events: &[]string{"order.*"}, Permanent: &[]string{"400"},
	})
	switch {
	case err != nil:
		return nil, err
	case res.JSON201 != nil:
		fmt.Printf("made %s; its secret is shown this once: keep it\n", res.JSON201.Id)
		return res.JSON201, nil
	case res.JSON200 != nil:
		fmt.Printf("%s is as it should be, version %d\n", res.JSON200.Id, res.JSON200.Version)
		return res.JSON200, nil
	}
	return nil, refused(res.Status(), res.Body)
}

// resend lists what was attempted, and attempts once more what was given up.
func resend(ctx context.Context, client *tailpost.ClientWithResponses, id string) error {
	attempts, err := client.ListEndpointAttemptsWithResponse(ctx, id, &tailpost.ListEndpointAttemptsParams{})
	if err != nil {
		return err
	}
	if attempts.JSON200 == nil {
		return refused(attempts.Status(), attempts.Body)
	}
	for _, a := range attempts.JSON200.Data {
		fmt.Printf("attempt %s %s\n", a.EventId, a.Outcome)
	}
	dead := tailpost.DeliverySelectionState("dead")
	res, err := client.ResendDeliveriesWithResponse(ctx, &tailpost.ResendDeliveriesParams{}, tailpost.DeliverySelection{EndpointId: &id, State: &dead})
	switch {
	case err != nil:
		return err
	case res.JSON202 != nil:
		fmt.Printf("resend %s queues what was given up\n", res.JSON202.Id)
		return nil
	case res.JSON200 != nil:
		fmt.Println("what was given up is queued")
		return nil
	}
	return refused(res.Status(), res.Body)
}

// refused is what the API said: its problems are for people.
func refused(status string, body []byte) error {
	return errors.New(status + ": " + string(body))
}
