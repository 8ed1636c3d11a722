package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/config"
)

// checkResult is what the command prints as JSON.
type checkResult struct {
	Valid       bool               `json:"valid"`
	Diagnostics config.Diagnostics `json:"diagnostics"`
}

func newCheckCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration",
		Long: `Read the configuration with everything it refers to, and report all that is wrong with it. Connects to nothing. The exit code is 0 if the
configuration is valid and 3 if not; warnings alone leave it valid.`,
		Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			cfg, diagnostics := a.readConfig(config.Options{Listens: true})
			if asJSON {
				if diagnostics == nil {
					diagnostics = config.Diagnostics{}
				}
				err := a.printJSON(checkResult{!diagnostics.HasErrors(), diagnostics})
				if err == nil && diagnostics.HasErrors() {
					err = &quietError{code: exitConfig}
				}
				return err
			}
			if diagnostics.HasErrors() {
				return &configError{diagnostics: diagnostics}
			}
			a.printDiagnostics(diagnostics)
			return a.printf("OK: %s, %s\n", a.configPath, count(len(cfg.Endpoints), "endpoint"))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the diagnostics as JSON")
	return cmd
}

// loadConfig reads the configuration for a command that cannot do without. Warnings go to stderr.
func (a *app) loadConfig() (*config.Config, error) { return a.accept(a.readConfig(config.Options{})) }

// loadRelay is loadConfig for the relay itself.
func (a *app) loadRelay() (*config.Config, error) {
	return a.accept(a.readConfig(config.Options{Listens: true}))
}

// loadDatabase is loadConfig for commands that need no more than the database and its outbox table:
// they run where the secrets of endpoints are not known.
func (a *app) loadDatabase() (*config.Config, error) {
	return a.accept(a.readConfig(config.Options{DatabaseOnly: true}))
}

// loadFleet is loadDatabase for a command that needs NATS too, where there is a fan-out.
func (a *app) loadFleet() (*config.Config, error) {
	return a.accept(a.readConfig(config.Options{DatabaseOnly: true, Fanout: true}))
}

func (a *app) accept(cfg *config.Config, diagnostics config.Diagnostics) (*config.Config, error) {
	if diagnostics.HasErrors() {
		return nil, &configError{diagnostics: diagnostics}
	}
	a.printDiagnostics(diagnostics)
	return cfg, nil
}

// readConfig reads the configuration with all that is wrong with it. A variable that is empty
// counts as not set.
func (a *app) readConfig(o config.Options) (*config.Config, config.Diagnostics) {
	o.Getenv = func(name string) (string, bool) {
		value := a.getenv(name)
		return value, value != ""
	}
	var read []string
	o.ReadFile = func(path string) ([]byte, error) {
		read = append(read, path)
		return os.ReadFile(path) //nolint:gosec // the operator's own file
	}
	cfg, diagnostics := config.Load(a.configPath, o)
	if cfg == nil {
		read = append(read, a.read...) // what was read of a bad one may not be all
		slices.Sort(read)
		read = slices.Compact(read)
	}
	a.read = read
	return cfg, diagnostics
}

// printDiagnostics writes to stderr what is wrong with a configuration, where, and what to do.
func (a *app) printDiagnostics(diagnostics config.Diagnostics) {
	for i := range diagnostics {
		d := &diagnostics[i]
		place := ""
		switch {
		case d.File != "" && d.Line > 0:
			place = fmt.Sprintf("%s:%d:%d: ", d.File, d.Line, d.Column)
		case d.File != "":
			place = d.File + ": "
		}
		a.note("tailpost: %s%s: %s", place, d.Severity, d.Summary)
		for line := range strings.Lines(d.Snippet) {
			a.note("  | %s", strings.TrimRight(line, "\n"))
		}
		a.note("  %s", strings.ReplaceAll(d.Detail, "\n", "\n  "))
	}
}
