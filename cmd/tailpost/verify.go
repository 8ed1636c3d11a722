package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/relay/signature"
)

// secretVariable names the environment variable with the secret for commands that verify, because
// arguments can be read by everybody on the machine.
const secretVariable = "TAILPOST_SECRET"

// verifyFlags are the flags of commands that verify signatures.
type verifyFlags struct {
	secrets []string
	scheme  string
}

func (f *verifyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.secrets, "secret", nil,
		"signing `secret`, or public key (whpk_…); may be repeated (default $"+secretVariable+")")
	cmd.Flags().StringVar(&f.scheme, "scheme", string(signature.Standard), "signature `scheme`: standard, stripe or github")
}

// verifier makes a Verifier, nil if there is no secret.
func (f *verifyFlags) verifier(a *app, command string) (*signature.Verifier, error) {
	scheme := signature.Scheme(f.scheme)
	if scheme.Header() == "" {
		return nil, usagef(command, "--scheme %q: want standard, stripe or github", f.scheme)
	}
	secrets := f.secrets
	if len(secrets) == 0 {
		secrets = strings.Fields(a.getenv(secretVariable))
	}
	if len(secrets) == 0 {
		return nil, nil //nolint:nilnil // no secret is no error: listen works without
	}
	verifier, err := signature.NewVerifierFor(scheme, secrets...)
	if err != nil {
		return nil, usagef(command, "--secret: %w", err)
	}
	return verifier, nil
}

// verifyResult is what the command prints as JSON.
type verifyResult struct {
	Verified bool   `json:"verified"`
	Error    string `json:"error,omitempty"`
}

func newVerifyCommand(a *app) *cobra.Command {
	var (
		flags     verifyFlags
		headers   []string
		tolerance time.Duration
		asJSON    bool
	)
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check the signature of a webhook that you received",
		Long: `Check the signature of a request that was received earlier. The body comes from FILE or from stdin, and must be the exact
bytes that were received. The exit code is 0 if the signature is genuine and 1 if not.`,
		Example: `  export ` + secretVariable + `=whsec_…
  tailpost verify -H 'webhook-id: msg_1' -H 'webhook-timestamp: 1760000000' -H 'webhook-signature: v1,…' body.json`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			verifier, err := flags.verifier(a, cmd.CommandPath())
			if err != nil {
				return err
			}
			if verifier == nil {
				return usagef(cmd.CommandPath(), "no secret: set $%s or --secret", secretVariable)
			}
			header, err := parseHeaders(headers)
			if err != nil {
				return usagef(cmd.CommandPath(), "--header: %w", err)
			}
			name := "-"
			if len(args) == 1 {
				name = args[0]
			}
			body, err := a.readInput(name)
			if err != nil {
				return err
			}
			return verify(a, verifier.WithTolerance(tolerance), header, body, asJSON)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "a `'name: value'` header of the request; may be repeated")
	cmd.Flags().DurationVar(&tolerance, "tolerance", -1, "refuse a timestamp further from now than this `duration` (default: accept any)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func verify(a *app, verifier *signature.Verifier, header http.Header, body []byte, asJSON bool) error {
	verdict := verifier.Verify(header, body)
	if asJSON {
		result := verifyResult{Verified: verdict == nil}
		if verdict != nil {
			result.Error = verdict.Error()
		}
		if err := a.printJSON(result); err != nil {
			return err
		}
		if verdict != nil {
			return &quietError{code: exitFailed}
		}
		return nil
	}
	if verdict != nil {
		return hint(fmt.Errorf("verify: %w", verdict), verdictHint(verdict))
	}
	return a.printf("OK: the signature is genuine, %d bytes\n", len(body))
}

// verdictHint says where to look for the mistake.
func verdictHint(err error) string {
	switch {
	case errors.Is(err, signature.ErrMissingHeader):
		return "pass the request's signature headers with -H, and --scheme if it is not standard"
	case errors.Is(err, signature.ErrTooOld), errors.Is(err, signature.ErrTooNew):
		return "a larger --tolerance, or none; the signature itself is genuine"
	case errors.Is(err, signature.ErrNoMatch):
		return "the endpoint's current secret, and the exact bytes of the body (a trailing newline counts)"
	}
	return "the headers exactly as they were received"
}

func parseHeaders(lines []string) (http.Header, error) {
	header := make(http.Header, len(lines))
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, errors.New("want 'name: value'")
		}
		header.Add(name, strings.TrimSpace(value))
	}
	return header, nil
}
