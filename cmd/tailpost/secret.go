package main

import (
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

// secretResult is what the command prints as JSON.
type secretResult struct {
	Secret string `json:"secret"`
	Public string `json:"public,omitempty"`
}

func newSecretCommand(a *app) *cobra.Command {
	var asymmetric, asJSON bool
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Make a new signing secret",
		Long: `Make a new signing secret for an endpoint, and print it. It is stored nowhere.

By default that is a shared secret (whsec_…), which both Tailpost and the receiver keep. With --ed25519 it is a pair of keys:
Tailpost keeps the private one (whsk_…), receivers get the public one (whpk_…), which is no secret.`,
		Example: `  export ERP_SECRET="$(tailpost secret)"
  tailpost secret --ed25519`,
		Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			made := secretResult{}
			if asymmetric {
				made.Secret, made.Public = signature.GenerateKeyPair()
			} else {
				made.Secret = signature.GenerateSecret()
			}
			switch {
			case asJSON:
				return a.printJSON(made)
			case asymmetric:
				return a.printf("private %s\npublic  %s\n", made.Secret, made.Public)
			}
			return a.printf("%s\n", made.Secret)
		},
	}
	cmd.Flags().BoolVar(&asymmetric, "ed25519", false, "make a pair of keys instead")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newResealCommand(a))
	return cmd
}

func newResealCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reseal",
		Short: "Seal all secrets in the database under the first key",
		Long: `Seal the signing secrets and header values of all endpoints made through the API under the first of the keys in the
configuration's secrets block.

To replace the key: put a new one in front of keys, have every relay use it, run this, and remove the old one once the relays
have caught up with the change. Relays go on running meanwhile.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			changed, err := relay.Reseal(cmd.Context(), cfg, zerolog.Nop())
			if err != nil {
				return fmt.Errorf("reseal: %w", err)
			}
			return a.printf("sealed the secrets of %s under the first key\n", count(changed, "endpoint"))
		},
	}
}
