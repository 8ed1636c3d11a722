package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/relay"
)

func newDoctorCommand(a *app) *cobra.Command {
	var receivers, asJSON bool
	var free diskSize
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine the database before a relay runs, or when one is ill",
		Long: `Connect to the configured database, and to NATS where there is a fan-out, as a relay would, look at all that it needs, and print what was
found, each with what exactly mends it: an SQL statement, a setting, or a provider's switch. Changes nothing, and sends no event.

The exit code is 1 if a relay would not start or not deliver. So it works as an init container, before or after migrate.`,
		Example: `  tailpost doctor
  tailpost doctor --endpoints --json | jq '.checks[] | select(.grade != "ok")'`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := a.loadFleet
			if receivers {
				load = a.loadConfig
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			return printFindings(a, relay.Diagnose(cmd.Context(), cfg, relay.DiagnoseOptions{Receivers: receivers, Free: int64(free)}), asJSON)
		},
	}
	cmd.Flags().BoolVar(&receivers, "endpoints", false, "examine the receivers too: names, connections, certificates, an answer to HEAD")
	cmd.Flags().Var(&free, "free", "what the database's disk has left, which Postgres does not know: for how many days it lasts")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// diskSize is a flag with a number of bytes, in the units of Postgres.
type diskSize int64

var diskSizes = regexp.MustCompile(`^([0-9]{1,6}) ?(MB|GB|TB)$`)

func (d *diskSize) Set(text string) error {
	match := diskSizes.FindStringSubmatch(text)
	if match == nil {
		return errors.New(`write it like "40GB": a whole number of MB, GB or TB`)
	}
	n, err := strconv.ParseInt(match[1], 10, 64)
	*d = diskSize(n << map[string]int{"MB": 20, "GB": 30, "TB": 40}[match[2]])
	return err
}

func (*diskSize) Type() string { return "size" }

func (d *diskSize) String() string {
	if *d == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*d)>>20, 10) + "MB"
}

// printedFinding is a relay.Finding in JSON.
type printedFinding struct {
	Check  string `json:"check"`
	Grade  string `json:"grade"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// doctorResult is what the command prints as JSON.
type doctorResult struct {
	Healthy bool             `json:"healthy"`
	Checks  []printedFinding `json:"checks"`
}

func printFindings(a *app, findings []relay.Finding, asJSON bool) error {
	counts := make(map[string]int)
	checks := make([]printedFinding, len(findings))
	for i, f := range findings {
		counts[f.Grade]++
		checks[i] = printedFinding(f)
	}
	healthy := counts["failure"] == 0
	var err error
	if asJSON {
		err = a.printJSON(doctorResult{healthy, checks})
	} else {
		err = printChecks(a, checks, counts)
	}
	if err == nil && !healthy {
		err = &quietError{code: exitFailed}
	}
	return err
}

func printChecks(a *app, checks []printedFinding, counts map[string]int) error {
	var b strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&b, "%-8s %-13s %s\n", c.Grade, c.Check, indent(c.Detail))
		if c.Fix != "" {
			fmt.Fprintf(&b, "%-8s %-13s Try: %s\n", "", "", indent(c.Fix))
		}
	}
	fmt.Fprintf(&b, "%s, %s\n", count(counts["failure"], "failure"), count(counts["warning"], "warning"))
	return a.printf("%s", b.String())
}

// indent puts the further lines of a text under the first one.
func indent(text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 23))
}
