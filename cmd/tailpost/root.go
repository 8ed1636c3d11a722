package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// defaultConfig is the configuration file where --config names none.
const defaultConfig = "tailpost.hcl"

// app is what every command has: the process's surroundings and the flags of all commands.
type app struct {
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	// oneFailure: every failure has exit code 1, because the command's results have others.
	oneFailure bool

	ending []func() // what a command has open until it ends

	logs *logQueue // before stderr, in a command that must not wait for whoever reads that; nil: none

	configPath string
	read       []string // the files that the configuration was last read from, those that file() names among them
	// started is true once a command's own code runs: an error from then on is no longer one of
	// usage.
	started bool
}

// run executes the command that args name, args[0] being the program, and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRootCommand(a)
	root.SetArgs(args[1:])
	a.oneFailure = slices.ContainsFunc(args, isDetailed)
	markStart(a, root)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = asUsage(err, cmd.CommandPath())
	}
	for _, end := range a.ending {
		end()
	}
	code := a.report(err)
	if a.logs != nil {
		a.logs.Close(logFlushTime)
	}
	return code
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "tailpost",
		Short: "Deliver committed rows of a Postgres outbox table as signed webhooks",
		Long: `Tailpost tails a Postgres outbox table through logical replication, matches each row to the subscriptions that you
declared, POSTs a signed webhook, retries what fails, and records every attempt in your own database.

Exit codes: 0 done, 1 failed, 2 used wrongly, 3 the configuration is invalid.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Set, because cobra's own check appends its suggestions to the error's text.
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SuggestionsMinimumDistance = 2
	root.PersistentFlags().StringVarP(&a.configPath, "config", "c", defaultConfig, "configuration `file`, or directory of *.hcl files")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		// `tailpost nonsense --flag` fails at the flag first; the command is the mistake.
		if rest := cmd.Flags().Args(); cmd == root && len(rest) > 0 {
			return unknownCommand(root, rest[0])
		}
		return &usageError{err: err, command: cmd.CommandPath()}
	})
	root.AddCommand(commands(a)...)
	root.SetHelpCommand(newHelpCommand(root))
	return root
}

// commands lists every command there is.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newAttemptsCommand(a),
		newCaptureCommand(a),
		newCheckCommand(a),
		newCompletionCommand(a),
		newDeliveriesCommand(a),
		newDemoCommand(a),
		newDiscardCommand(a),
		newDoctorCommand(a),
		newEndpointsCommand(a),
		newEventsCommand(a),
		newExplainCommand(a),
		newFmtCommand(a),
		newHealCommand(a),
		newInitCommand(a),
		newListenCommand(a),
		newManCommand(a),
		newMigrateCommand(a),
		newPauseCommand(a),
		newPlanCommand(a),
		newReplayCommand(a),
		newResendCommand(a),
		newResumeCommand(a),
		newRunCommand(a),
		newSecretCommand(a),
		newStatusCommand(a),
		newTestCommand(a),
		newTriggerCommand(a),
		newVerifyCommand(a),
		newVersionCommand(a),
	}
}

// newHelpCommand replaces cobra's, which takes an unknown command for a success.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
}

// markStart has cmd and its subcommands set started, after cobra's last check of the flags.
func markStart(a *app, cmd *cobra.Command) {
	if own := cmd.RunE; own != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.started = true
			return own(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		markStart(a, sub)
	}
}

func unknownCommand(root *cobra.Command, name string) error {
	err := &usageError{err: fmt.Errorf("unknown command %q", name), command: root.CommandPath()}
	if similar := root.SuggestionsFor(name); len(similar) > 0 {
		err.try = root.CommandPath() + " " + strings.Join(similar, ", or "+root.CommandPath()+" ")
	}
	return err
}

// args checks the number of positional arguments.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		want := "no argument"
		switch {
		case least == most && most > 0:
			want = count(most, "argument")
		case most > 0:
			want = "at most " + count(most, "argument")
		}
		return usagef(cmd.CommandPath(), "want %s, got %d", want, len(args))
	}
}
