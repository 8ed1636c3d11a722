package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
)

// TestAReleaseIsBuiltAsEverythingElse holds the configuration of the release to the script that the
// image and the tests build with, and to the files that are there.
func TestAReleaseIsBuiltAsEverythingElse(t *testing.T) {
	t.Parallel()
	var release struct {
		Builds []struct {
			Main, Binary                      string
			Env, Flags, Ldflags, Goos, Goarch []string
		}
		Nfpms []struct {
			Formats  []string
			Contents []struct{ Src, Dst string }
		}
		Checksum struct{ Algorithm string }
		Sboms    []map[string]any
		Signs    []struct{ Cmd, Artifacts string }
	}
	require.NoError(t, yaml.Unmarshal([]byte(readDocument(t, ".goreleaser.yaml")), &release))
	require.Len(t, release.Builds, 1)
	build, script := release.Builds[0], readDocument(t, ".ci/build.sh")
	require.Equal(t, "./cmd/tailpost", build.Main)
	require.Equal(t, []string{"CGO_ENABLED=0"}, build.Env)
	require.Contains(t, script, "export CGO_ENABLED=0")
	require.Contains(t, script, "go build "+strings.Join(build.Flags, " ")+` -ldflags "`)
	require.Contains(t, strings.ReplaceAll(script, "${VERSION:-devel}", "{{ .Version }}"), `"`+strings.Join(build.Ldflags, " ")+`"`)
	require.ElementsMatch(t, []string{"linux", "darwin", "windows"}, build.Goos)
	require.ElementsMatch(t, []string{"amd64", "arm64"}, build.Goarch)
	require.Len(t, release.Nfpms, 1)
	require.ElementsMatch(t, []string{"deb", "rpm"}, release.Nfpms[0].Formats)
	for _, content := range release.Nfpms[0].Contents {
		if strings.HasPrefix(content.Src, "dist-files/") {
			continue // the hooks make them
		}
		require.FileExists(t, filepath.Join(kit.Root(), content.Src))
	}
	require.Equal(t, "sha256", release.Checksum.Algorithm)
	require.NotEmpty(t, release.Sboms)
	require.Equal(t, "checksum", release.Signs[0].Artifacts)
}

// TestTheWorkflowsRunWhatIsThere looks for each target that a workflow makes, and that none has
// more rights than it needs.
// TestTheBinaryOfEverySystemIsOfWhatItHas: `make cross` builds what a release has. That takes
// minutes, so this looks at what would be built: a server of the demo's own, with its signals and
// process groups, is for Unix.
func TestTheBinaryOfEverySystemIsOfWhatItHas(t *testing.T) {
	t.Parallel()
	for system, server := range map[string]bool{"linux": true, "darwin": true, "windows": false} {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/tailpost")
		list.Dir, list.Env = "..", append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		deps, err := list.Output()
		require.NoError(t, err, system)
		require.Equal(t, server, strings.Contains(string(deps), "tailpost/integration/pgserver\n"), system)
		require.Contains(t, readDocument(t, "Makefile"), system, "make cross")
	}
}

func TestTheWorkflowsRunWhatIsThere(t *testing.T) {
	t.Parallel()
	makefile := readDocument(t, "Makefile")
	paths, err := filepath.Glob(filepath.Join(kit.Root(), ".github", "workflows", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, paths, 3)
	targets := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var workflow struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Timeout     int `yaml:"timeout-minutes"`
				Permissions map[string]string
				Steps       []struct{ Run, Uses string }
			}
		}
		require.NoError(t, yaml.Unmarshal(text, &workflow), path)
		require.Equal(t, map[string]string{"contents": "read"}, workflow.Permissions, path)
		for name, job := range workflow.Jobs {
			require.Positive(t, job.Timeout, "%s: %s", path, name)
			for _, step := range job.Steps {
				for _, match := range regexp.MustCompile(`(?m)^make ([a-z-]+)`).FindAllStringSubmatch(step.Run, -1) {
					require.Contains(t, makefile, "\n"+match[1]+":", path)
					targets++
				}
			}
		}
	}
	require.Greater(t, targets, 5)
	templates, err := filepath.Glob(filepath.Join(kit.Root(), ".github", "ISSUE_TEMPLATE", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, templates, 3)
	for _, path := range templates {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, new(map[string]any)), path)
	}
}

// TestTheChartsConfigurationIsValid loads what values.yaml has for tailpost.hcl. The chart itself
// is looked at in integration/chart, by Helm's packages.
func TestTheChartsConfigurationIsValid(t *testing.T) {
	t.Parallel()
	var values struct{ Config string }
	require.NoError(t, yaml.Unmarshal([]byte(readDocument(t, "examples/helm/tailpost/values.yaml")), &values))
	_, diags := config.Parse(map[string][]byte{"tailpost.hcl": []byte(values.Config)}, config.Options{Getenv: documentEnvironment})
	require.Empty(t, diags)
	formatted, err := config.FormatSource([]byte(values.Config), "tailpost.hcl")
	require.NoError(t, err)
	require.Equal(t, string(formatted), values.Config)
}

// TestTheChartIsOfTheLastVersion compares the chart with the changelog.
func TestTheChartIsOfTheLastVersion(t *testing.T) {
	t.Parallel()
	last := regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$`).FindStringSubmatch(readDocument(t, "CHANGELOG.md"))
	require.NotNil(t, last)
	var about struct{ Version, AppVersion string }
	require.NoError(t, yaml.Unmarshal([]byte(strings.ReplaceAll(readDocument(t, "examples/helm/tailpost/Chart.yaml"), "appVersion", "appversion")), &about))
	require.Equal(t, []string{last[1], last[1]}, []string{about.Version, about.AppVersion})
}
