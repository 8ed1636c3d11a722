package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newCompletionCommand(a *app) *cobra.Command {
	shells := []string{"bash", "fish", "powershell", "zsh"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a shell's completion script (bash, fish, powershell, zsh)",
		Example: `  source <(tailpost completion bash)
  tailpost completion zsh > "${fpath[1]}/_tailpost"
  tailpost completion fish | source`,
		Args:      args(1, 1),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			var err error
			switch args[0] {
			case "bash":
				err = root.GenBashCompletionV2(a.stdout, true)
			case "fish":
				err = root.GenFishCompletion(a.stdout, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(a.stdout)
			case "zsh":
				err = root.GenZshCompletion(a.stdout)
			default:
				return usagef(cmd.CommandPath(), "shell %q: want %s", args[0], strings.Join(shells, ", "))
			}
			if err != nil {
				return fmt.Errorf("write the completion script: %w", err)
			}
			return nil
		},
	}
}
