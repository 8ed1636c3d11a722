package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/signature"
)

//go:embed init.hcl.tmpl
var initText string

// initAnswers are what `tailpost init` has to know.
type initAnswers struct {
	dir         string
	databaseURL string
	endpointURL string
	table       string
	noInput     bool
}

func newInitCommand(a *app) *cobra.Command {
	var answers initAnswers
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first configuration",
		Long: `Look at your database, and write tailpost.hcl and .env with fresh secrets. Asks for what no flag says; with --no-input it asks nothing
and takes the defaults. Changes nothing in the database, and never overwrites a file.`,
		Example: `  tailpost init
  tailpost init --database-url "$DATABASE_URL" --endpoint-url https://erp.example.com/webhooks`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return writeFirstConfig(cmd.Context(), a, &answers) },
	}
	cmd.Flags().StringVar(&answers.databaseURL, "database-url", "", "`URL` of your database (default $DATABASE_URL)")
	cmd.Flags().StringVar(&answers.endpointURL, "endpoint-url", "", "`URL` of the first receiver")
	cmd.Flags().StringVar(&answers.table, "table", "", "outbox `table` as schema.name (default: the one that is there, or public.outbox)")
	cmd.Flags().StringVar(&answers.dir, "dir", ".", "`directory` of the new files")
	cmd.Flags().BoolVar(&answers.noInput, "no-input", false, "ask nothing")
	return cmd
}

// defaultEndpoint is where `tailpost listen` is.
const defaultEndpoint = "http://127.0.0.1:4000/"

// writeFirstConfig writes a configuration, and its secrets beside it, from what a person answers.
func writeFirstConfig(ctx context.Context, a *app, answers *initAnswers) error {
	configFile, envFile := filepath.Join(answers.dir, defaultConfig), filepath.Join(answers.dir, ".env")
	for _, file := range []string{configFile, envFile} {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return hint(fmt.Errorf("%s is there already; nothing was written", file), "--dir with an empty directory")
		}
	}
	in := bufio.NewReader(a.stdin)
	question, fromEnv := "Database URL", a.getenv("DATABASE_URL")
	if fromEnv != "" {
		question += " [$DATABASE_URL]" // by its name: it may hold a password
	}
	if err := askFor(a, in, answers.noInput, question, &answers.databaseURL, fromEnv); err != nil {
		return err
	}
	if answers.databaseURL == "" {
		return hint(errors.New("no database is named"), "--database-url postgres://user:password@host:5432/name")
	}
	mapping, logical, err := look(ctx, answers)
	if err != nil {
		return err
	}
	if err := askFor(a, in, answers.noInput, "URL of the first receiver ["+defaultEndpoint+"]", &answers.endpointURL, defaultEndpoint); err != nil {
		return err
	}
	text, err := initConfig(answers, mapping)
	if err != nil {
		return err
	}
	env := initEnvironment(answers.databaseURL)
	if err := checkInit(configFile, text, env); err != nil {
		return err
	}
	if err := writeNew(envFile, []byte(env.String()), 0o600); err != nil {
		return err
	}
	if err := writeNew(configFile, text, 0o644); err != nil {
		return errors.Join(err, os.Remove(envFile))
	}
	if !logical {
		a.note("tailpost: the server does not decode its log yet. Run ALTER SYSTEM SET wal_level = logical, and restart it once")
	}
	cd := ""
	if answers.dir != "." {
		cd = "cd " + answers.dir + " && "
	}
	return a.printf(`wrote %s and %s

Next:
  %sset -a && . ./.env && set +a
  tailpost migrate
  tailpost run
`, configFile, envFile, cd)
}

// askFor sets value, where no flag did, to what the user answers, or to def.
func askFor(a *app, in *bufio.Reader, noInput bool, question string, value *string, def string) error {
	if *value != "" {
		return nil
	}
	if noInput {
		*value = def
		return nil
	}
	if _, err := fmt.Fprint(a.stderr, question+": "); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	line, err := in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if *value = strings.TrimSpace(line); *value == "" {
		*value = def
	}
	return nil
}

// look returns the mapping of the outbox table, and whether the server decodes its log.
func look(ctx context.Context, answers *initAnswers) (m outbox.Mapping, logical bool, err error) {
	m = outbox.DefaultMapping()
	if answers.table != "" {
		m.Table = answers.table
	}
	cfg, diagnostics := config.Parse(map[string][]byte{"init": []byte(`database { url = env("DATABASE_URL") }`)}, config.Options{
		DatabaseOnly: true,
		Getenv:       func(string) (string, bool) { return answers.databaseURL, true },
	})
	if diagnostics.HasErrors() {
		return m, false, hint(errors.New("the database URL is not one"), "--database-url postgres://user:password@host:5432/name")
	}
	err = withDatabase(ctx, cfg.Database, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			found, err := schema.FindTables(ctx, tx)
			if err != nil {
				return err
			}
			for _, candidate := range found {
				if answers.table == "" || answers.table == candidate.Table {
					m = candidate
					break
				}
			}
			logical, err = schema.DecodesLog(ctx, tx)
			return err
		})
	})
	return m, logical, err
}

// initConfig returns the text of tailpost.hcl.
func initConfig(answers *initAnswers, m outbox.Mapping) ([]byte, error) {
	endpoint, err := url.Parse(answers.endpointURL)
	if err != nil || endpoint.Host == "" {
		return nil, hint(errors.New("the receiver's URL is not one"), "--endpoint-url https://erp.example.com/webhooks")
	}
	var allow []string
	if ip := net.ParseIP(endpoint.Hostname()); ip != nil && ip.IsLoopback() {
		allow = []string{ip.String() + "/32"}
		if ip.To4() == nil {
			allow = []string{ip.String() + "/128"}
		}
	} else if strings.EqualFold(endpoint.Hostname(), "localhost") {
		allow = []string{"127.0.0.1/32", "::1/128"}
	}
	tmpl, err := template.New("init").Funcs(template.FuncMap{"quote": quoteHCL}).Parse(initText)
	if err != nil {
		return nil, fmt.Errorf("read the template of the configuration: %w", err)
	}
	var text bytes.Buffer
	err = tmpl.Execute(&text, map[string]any{
		"Mapping": m, "Default": m.Equal(outbox.DefaultMapping()), "URL": answers.endpointURL,
		"Allow": allow, "HTTP": endpoint.Scheme == "http",
	})
	return text.Bytes(), err
}

// quoteHCL returns s as a quoted template of HCL without interpolation.
func quoteHCL(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "${", "$${", "%{", "%%{").Replace(s) + `"`
}

// environment is the content of an .env file, in order.
type environment [][2]string

// initEnvironment returns what the new configuration takes from the environment.
func initEnvironment(databaseURL string) environment {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails, by its contract
	return environment{
		{"DATABASE_URL", databaseURL},
		{"TAILPOST_SECRET", signature.GenerateSecret()},
		{"TAILPOST_API_KEY", "tp_" + rand.Text()},
		{"TAILPOST_SEALING_KEY", base64.StdEncoding.EncodeToString(key[:])},
	}
}

// String returns the environment as a shell reads it. Docker reads it alike.
func (e environment) String() string {
	var b strings.Builder
	for _, v := range e {
		fmt.Fprintf(&b, "%s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	return b.String()
}

// checkInit reports what is wrong with the new configuration before it is written.
func checkInit(name string, text []byte, env environment) error {
	_, diagnostics := config.Parse(map[string][]byte{name: text}, config.Options{Getenv: func(name string) (string, bool) {
		for _, v := range env {
			if v[0] == name {
				return v[1], true
			}
		}
		return "", false
	}})
	if diagnostics.HasErrors() {
		return &configError{diagnostics: diagnostics}
	}
	return nil
}

// writeNew writes a file that is not there yet.
func writeNew(name string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the directory that the user named
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
