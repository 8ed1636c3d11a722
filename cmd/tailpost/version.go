package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (.ci/build.sh).
var version string

// productVersion is what this binary calls itself, in User-Agent too.
func productVersion() string {
	if version != "" {
		return version
	}
	// `go install …@v1.2.3` sets no linker flags, but leaves the module's version.
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// versionResult is what the command prints as JSON.
type versionResult struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersionCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.printJSON(versionResult{productVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
			}
			return a.printf("tailpost %s (%s %s/%s)\n", productVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
