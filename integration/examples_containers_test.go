package integration_test

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
)

// drainTime is how long `tailpost run` may take to stop after its --grace.
const drainTime = 10 * time.Second

// container is what a manifest says about a container of the image: its arguments and its whole
// environment.
type container struct {
	args []string
	env  map[string]string
}

// in is the container's command in dir, which stands for the image's WORKDIR.
func (c container) in(dir string, more ...string) kit.Command {
	return kit.Command{Args: append(slices.Clone(c.args), more...), Env: c.env, Dir: dir}
}

// without is the container with a variable less.
func (c container) without(name string) container {
	env := maps.Clone(c.env)
	delete(env, name)
	return container{args: c.args, env: env}
}

// requireValid requires that the configuration in dir is valid in this container, and formatted.
func (c container) requireValid(t *testing.T, dir string) {
	t.Helper()
	checked := kit.Run(t, container{args: []string{"check"}, env: c.env}.in(dir))
	require.Zero(t, checked.ExitCode(), checked.Output())
	require.Empty(t, checked.Stderr(), "warnings")
	formatted := kit.Run(t, container{args: []string{"fmt", "--check"}}.in(dir))
	require.Zero(t, formatted.ExitCode(), formatted.Output())
}

// requireNeedsAll requires that each variable of the container is there for a reason: without it,
// its command refuses the configuration in dir.
func (c container) requireNeedsAll(t *testing.T, dir string) {
	t.Helper()
	require.NotEmpty(t, c.env)
	for name := range c.env {
		if name == "GOMEMLIMIT" {
			continue // of Go's runtime, not of Tailpost
		}
		refused := kit.Run(t, c.without(name).in(dir))
		require.Equal(t, 3, refused.ExitCode(), "without %s: %s", name, refused.Output())
		require.Contains(t, refused.Stderr(), name)
	}
}

// start runs the container.
func (c container) start(t *testing.T, dir string, more ...string) *kit.Process {
	t.Helper()
	command := c.in(dir, more...)
	command.Path = kit.Binary(t)
	for name, value := range c.env {
		if strings.HasSuffix(name, "_SECRET") || strings.HasSuffix(name, "_KEY") {
			command.Secrets = append(command.Secrets, value)
		}
	}
	return kit.Start(t, command)
}

// readDockerfile returns the instructions of the image's last stage, each with what it says last.
func readDockerfile(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(kit.Root(), "Dockerfile"))
	require.NoError(t, err)
	instructions := make(map[string]string)
	for _, line := range kit.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, " ")
		if name == "FROM" {
			clear(instructions)
		}
		instructions[name] = rest
	}
	require.Equal(t, `["/tailpost"]`, instructions["ENTRYPOINT"], "arguments of the manifests are those of tailpost")
	return instructions
}

// decodeYAML decodes the documents of a text, each into the next of into. A field that is not known
// fails the test.
func decodeYAML(t *testing.T, text string, into ...any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	for _, document := range into {
		require.NoError(t, decoder.Decode(document))
	}
	require.ErrorIs(t, decoder.Decode(new(yaml.Node)), io.EOF, "one more document")
}

// composeService is what the example says about a service.
type composeService struct {
	Image       string
	Build       string
	PullPolicy  string `yaml:"pull_policy"`
	Command     []string
	Environment map[string]string
	Volumes     []string
	NetworkMode string `yaml:"network_mode"`
	DependsOn   map[string]struct {
		Condition string
		Restart   bool
	} `yaml:"depends_on"`
	Healthcheck struct {
		Test     []string
		Interval time.Duration
		Timeout  time.Duration
		Retries  int
	}
	StopGracePeriod time.Duration `yaml:"stop_grace_period"`
	Restart         string
	ReadOnly        bool     `yaml:"read_only"`
	CapDrop         []string `yaml:"cap_drop"`
	SecurityOpt     []string `yaml:"security_opt"`
}

func (s *composeService) container() container {
	return container{args: s.Command, env: maps.Clone(s.Environment)}
}

// readCompose reads compose.yaml as Compose would with the given variables.
func readCompose(t *testing.T, dir string, variables map[string]string) map[string]*composeService {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "compose.yaml"))
	require.NoError(t, err)
	used := make(map[string]bool)
	variable := regexp.MustCompile(`\$\{(\w+):\?[^}]+\}`)
	filled := variable.ReplaceAllStringFunc(string(text), func(match string) string {
		name := variable.FindStringSubmatch(match)[1]
		used[name] = true
		require.NotEmpty(t, variables[name], "%s is in compose.yaml and not in .env", name)
		return variables[name]
	})
	require.NotContains(t, filled, "$", "a variable that Compose would take as empty where it is not set")
	require.ElementsMatch(t, slices.Collect(maps.Keys(variables)), slices.Collect(maps.Keys(used)), ".env and compose.yaml name the same")
	var file struct {
		Name     string
		Shared   yaml.Node `yaml:"x-tailpost"`
		Services map[string]*composeService
		Volumes  map[string]any
	}
	decodeYAML(t, filled, &file)
	for name, service := range file.Services {
		if name == "postgres" {
			continue
		}
		require.Equal(t, file.Services["migrate"].Image, service.Image, name)
		require.Equal(t, "never", service.PullPolicy, name)
		require.Equal(t, name == "migrate", service.Build != "", "one service builds, the first")
		require.True(t, service.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, service.CapDrop, name)
		require.Equal(t, []string{"no-new-privileges:true"}, service.SecurityOpt, name)
	}
	require.Equal(t, kit.Root(), filepath.Join(dir, file.Services["migrate"].Build), "where the Dockerfile is")
	return file.Services
}

// makeEnv runs a copy of make-env.sh and returns the variables that it writes.
func makeEnv(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "make-env.sh"))
	require.NoError(t, err)
	folder := t.TempDir()
	script, path := filepath.Join(folder, "make-env.sh"), filepath.Join(folder, ".env")
	kit.WriteFile(t, script, string(text))
	run := func() string {
		out, err := exec.CommandContext(t.Context(), "sh", script).CombinedOutput()
		require.NoError(t, err, "%s", out)
		written, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(written)
	}
	env := run()
	require.Equal(t, env, run(), "secrets in use are kept")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	variables := make(map[string]string)
	for _, line := range kit.Lines(env) {
		name, value, ok := strings.Cut(line, "=")
		require.True(t, ok, line)
		variables[name] = value
	}
	return variables
}

// settings are those that a `postgres -c name=value …` command sets.
func settings(t *testing.T, command []string) map[string]string {
	t.Helper()
	require.Equal(t, "postgres", command[0])
	set := make(map[string]string)
	for pair := range slices.Chunk(command[1:], 2) {
		require.Len(t, pair, 2)
		require.Equal(t, "-c", pair[0])
		name, value, _ := strings.Cut(pair[1], "=")
		set[name] = value
	}
	return set
}

// ownDatabase makes a database on a server of its own: examples use the slot that their
// configuration names.
func ownDatabase(t *testing.T, settings map[string]string, name string) *kit.Database {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	kit.OpenDatabase(t, server.URL("postgres"), "").Run(t, "CREATE DATABASE "+name)
	return kit.OpenDatabase(t, server.URL(name), "")
}

// get returns the status of an answer.
func get(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	return do(t, request)
}

// TestComposeExample runs what the containers would, in the environment that they would have,
// without an engine.
func TestComposeExample(t *testing.T) {
	t.Parallel()
	example := filepath.Join(kit.Root(), "examples", "compose")
	variables := makeEnv(t, example)
	services := readCompose(t, example, variables)
	postgres, migrate, relay, receiver := services["postgres"], services["migrate"], services["tailpost"], services["receiver"]
	require.Len(t, services, 4)

	// Each starts when what it needs is there.
	require.Equal(t, "CMD", postgres.Healthcheck.Test[0])
	require.Equal(t, "service_healthy", migrate.DependsOn["postgres"].Condition)
	require.Equal(t, "service_completed_successfully", relay.DependsOn["migrate"].Condition)
	require.Equal(t, "no", migrate.Restart)
	require.Equal(t, "service:tailpost", receiver.NetworkMode)
	require.Greater(t, relay.StopGracePeriod, defaultGrace(t)+drainTime)

	// The configuration is where the image looks for it.
	mount := []string{"./tailpost.hcl:" + readDockerfile(t)["WORKDIR"] + "/tailpost.hcl:ro"}
	require.Equal(t, mount, migrate.Volumes)
	require.Equal(t, mount, relay.Volumes)

	set := settings(t, postgres.Command)
	require.Equal(t, "logical", set["wal_level"])
	maps.Copy(set, pgserver.FastSettings())
	db := ownDatabase(t, set, postgres.Environment["POSTGRES_DB"])

	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(example, "tailpost.hcl"))
	require.NoError(t, err)
	kit.WriteFile(t, filepath.Join(dir, "tailpost.hcl"), string(config))
	relay.container().requireValid(t, dir)
	relay.container().requireNeedsAll(t, dir)
	migrate.container().requireNeedsAll(t, dir)

	inside := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", variables["POSTGRES_PASSWORD"]), Host: "postgres:5432",
		Path: "/" + postgres.Environment["POSTGRES_DB"], RawQuery: "sslmode=disable",
	}
	require.Equal(t, variables["POSTGRES_PASSWORD"], postgres.Environment["POSTGRES_PASSWORD"])
	for _, service := range []*composeService{migrate, relay} {
		require.Equal(t, inside.String(), service.Environment["DATABASE_URL"])
		service.Environment["DATABASE_URL"] = db.URL
	}
	migrated := kit.Run(t, migrate.container().in(dir))
	require.Zero(t, migrated.ExitCode(), migrated.Output())
	listen := receiver.container().start(t, dir, "--port=0")
	rewrite(t, filepath.Join(dir, "tailpost.hcl"), "http://127.0.0.1:4000", listen.AwaitMatch(t, listening)[1])
	running := relay.container().start(t, dir)
	running.Await(t, kit.LogDelivering, nil)
	trigger := container{args: []string{"trigger", "order.created", "--data", `{"order": 7}`}, env: migrate.Environment}
	triggered := kit.Run(t, trigger.in(dir))
	require.Zero(t, triggered.ExitCode(), triggered.Output())

	require.Contains(t, listen.AwaitMatch(t, `(?m)^.*order\.created.*$`)[0], `verified  {"order":7}`)
	require.Equal(t, "delivered", db.AwaitAttempts(t, "receiver", 1)[0].Outcome)
	require.Zero(t, running.Stop(t))
	require.Zero(t, listen.Stop(t))
}

// defaultGrace is the grace of `tailpost run` where --grace is not given.
func defaultGrace(t *testing.T) time.Duration {
	t.Helper()
	help := kit.Run(t, kit.Command{Args: []string{"run", "--help"}}).Stdout()
	found := regexp.MustCompile(`--grace duration .*\(default (\S+)\)`).FindStringSubmatch(help)
	require.NotNil(t, found, help)
	grace, err := time.ParseDuration(found[1])
	require.NoError(t, err)
	return grace
}
