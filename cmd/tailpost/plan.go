package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/relay"
)

// detailedFlag is the flag that makes changes an exit code of their own.
const detailedFlag = "detailed-exitcode"

// exitChanges is the exit code of a plan that has changes.
const exitChanges = 2

// isDetailed reports whether an argument sets detailedFlag. It is asked before the flags are
// parsed, which may fail.
func isDetailed(argument string) bool {
	name, value, _ := strings.Cut(argument, "=")
	on, err := strconv.ParseBool(cmp.Or(value, "true"))
	return name == "--"+detailedFlag && (on || err != nil)
}

func newPlanCommand(a *app) *cobra.Command {
	var detailed, asJSON bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say what the configuration would change",
		Long: `Compare the configuration with what the relay read last, as tailpost.endpoint and tailpost.configuration have it, and say what would
change: endpoints that come, change or go, how many of the newest 1,000 events each would get more or less, and what is queued for it;
version blocks that come, change or go, and whose data changes with them; other blocks that say something else. Endpoints that somebody
paused, or that are disabled, are named as drift, and so are versions that endpoints of the API pin and the configuration does not have.
Changes nothing. Not compared are what the database does not have, which is secrets, values of headers and what is redacted of a URL,
and what is each relay's own: where it connects, listens and logs. Layout and comments are no change.

With --detailed-exitcode the exit code is 0 without changes, 2 with some or where not all could be compared, and 1 for every failure,
an invalid configuration too.`,
		Example: `  tailpost plan -c tailpost.new.hcl
  tailpost plan --detailed-exitcode --json | jq '.endpoints[] | select(.no_longer_matched > 0)'`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			plan, err := relay.MakePlan(cmd.Context(), cfg)
			if err != nil {
				return storeHint(err)
			}
			if asJSON {
				err = a.printJSON(planResult{Changes: plan.Changes(), Plan: *plan})
			} else {
				err = printPlan(a, plan)
			}
			if err == nil && detailed && plan.Changes() {
				err = &quietError{code: exitChanges}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&detailed, detailedFlag, false, "exit with 2 if there are changes, and with 1 after any failure")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// planResult is what the command prints as JSON.
type planResult struct {
	Changes bool `json:"changes"`
	relay.Plan
}

// signs are how people see an action at the first glance.
func signs() map[string]string {
	return map[string]string{"add": "+", "return": "+", "change": "~", "remove": "-"}
}

func printPlan(a *app, p *relay.Plan) error {
	var b strings.Builder
	counts := make(map[string]int)
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		counts[signs()[e.Action]]++
		fmt.Fprintf(&b, "%s %s: %s\n", signs()[e.Action], printable(e.ID, maxPreview), e.Action)
		for _, s := range e.Settings {
			fmt.Fprintf(&b, "    %-14s %s -> %s\n", printable(s.Name, maxPreview), settingText(s.Before), settingText(s.After))
		}
		if e.NewlyMatched+e.NoLongerMatched+e.Matched+e.MatchedBefore > 0 {
			fmt.Fprintf(&b, "    of the newest %s it got %d and would get %d: %d more, %d less\n",
				count(int(p.LookedAt), "event"), e.MatchedBefore, e.Matched, e.NewlyMatched, e.NoLongerMatched)
		}
		for _, note := range e.Notes {
			fmt.Fprintf(&b, "    %s\n", printable(note, maxPreview*4))
		}
	}
	for i := range p.Versions {
		v := &p.Versions[i]
		counts[signs()[v.Action]]++
		fmt.Fprintf(&b, "%s version %s: %s\n    %s\n", signs()[v.Action], printable(v.Version, maxPreview), v.Action, affected(v))
	}
	for _, name := range p.Blocks {
		counts["~"]++
		fmt.Fprintf(&b, "~ block %s: change\n", printable(name, maxPreview))
	}
	for _, d := range p.Drift {
		fmt.Fprintf(&b, "! %s: %s\n", printable(d.ID, maxPreview), printable(d.Detail, maxPreview*4))
	}
	for _, v := range p.Pins {
		fmt.Fprintf(&b, "! version %s: not in the configuration, and %s of the API pin it (%s): what they should get waits\n",
			printable(v.Version, maxPreview), count(v.Endpoints, "endpoint"), printable(strings.Join(v.Examples, ", "), maxPreview*4))
	}
	if p.Note != "" {
		fmt.Fprintf(&b, "No subscription was tried: %s\n", printable(p.Note, maxPreview*4))
	} else if !p.Whole {
		fmt.Fprintf(&b, "Subscriptions were tried on %s only: time or size set an end\n", count(int(p.LookedAt), "event"))
	}
	if p.Uncompared != "" {
		fmt.Fprintf(&b, "! version and other blocks were not compared: %s\n", printable(p.Uncompared, maxPreview*4))
	}
	if !p.Changes() {
		return a.printf("%sNo changes. Not compared: secrets, values of headers, what is redacted of URLs, and where a relay connects, listens and logs\n", b.String())
	}
	return a.printf("%s%d to add, %d to change, %d to remove\n", b.String(), counts["+"], counts["~"], counts["-"])
}

// affected says who gets other data by a version.
func affected(v *relay.PlannedVersion) string {
	if v.Endpoints == 0 {
		return "no endpoint gets other data by it"
	}
	verb := "get"
	if v.Endpoints == 1 {
		verb = "gets"
	}
	return fmt.Sprintf("%s %s other data by it, %d of the API: %s", count(v.Endpoints, "endpoint"), verb, v.OfAPI, printable(strings.Join(v.Examples, ", "), maxPreview*4))
}

func settingText(text string) string {
	if text == "" {
		return "not set"
	}
	return printable(text, maxPreview*2)
}
