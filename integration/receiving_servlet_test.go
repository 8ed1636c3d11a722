package integration_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/relay/signature"
)

// findTomcat returns where Tomcat is. Without it the test is skipped, unless it is CI's.
func findTomcat(t *testing.T) (home string) {
	t.Helper()
	for _, home := range []string{os.Getenv("CATALINA_HOME"), "/usr/share/tomcat10", "/usr/share/tomcat", "/opt/homebrew/opt/tomcat/libexec"} {
		if _, err := os.Stat(filepath.Join(home, "bin", "catalina.sh")); home != "" && err == nil {
			return home
		}
	}
	require.Empty(t, os.Getenv("CI"), "Tomcat is not installed: .ci/peers.sh could not")
	t.Skip("Tomcat is not installed: run .ci/peers.sh")
	return ""
}

// startTomcat serves a page until the test ends, and returns its URL. Tomcat's own web.xml is left
// out: it makes UTF-8 the encoding of requests that name none, which a servlet container need not.
func startTomcat(t *testing.T, page string, env []string) (url string) {
	t.Helper()
	home, base := findTomcat(t), t.TempDir()
	port, err := pgserver.FreePort(t.Context())
	require.NoError(t, err)
	for _, dir := range []string{"conf", "logs", "temp", "work", "webapps/ROOT"} {
		require.NoError(t, os.MkdirAll(filepath.Join(base, dir), 0o700))
	}
	kit.WriteFile(t, filepath.Join(base, "conf", "server.xml"), fmt.Sprintf(`<Server port="-1"><Service name="Catalina">
		<Connector address="127.0.0.1" port="%d"/>
		<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps" autoDeploy="false"/></Engine>
	</Service></Server>`, port))
	kit.WriteFile(t, filepath.Join(base, "conf", "web.xml"), `<web-app>
		<servlet><servlet-name>jsp</servlet-name><servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class></servlet>
		<servlet-mapping><servlet-name>jsp</servlet-name><url-pattern>*.jsp</url-pattern></servlet-mapping>
	</web-app>`)
	kit.WriteFile(t, filepath.Join(base, "webapps", "ROOT", "hook.jsp"), page)
	cmd := exec.CommandContext(t.Context(), filepath.Join(home, "bin", "catalina.sh"), "run") // it becomes java
	cmd.Env = append(os.Environ(), append(env, "CATALINA_HOME="+home, "CATALINA_BASE="+base, "JAVA_OPTS=-Xmx128m -XX:TieredStopAtLevel=1")...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	url = fmt.Sprintf("http://127.0.0.1:%d/hook.jsp", port)
	kit.Eventually(t, 2*kit.Patience, func() error { // it compiles the page
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return errors.Join(fmt.Errorf("the page answers %d", response.StatusCode), response.Body.Close())
		}
		return response.Body.Close()
	})
	return url
}

// A servlet that reads the body as bytes verifies every scheme, and one that reads it as text those
// whose Content-Type names the charset, as Stripe's does: without one its reader takes a body for
// Latin-1, unless it is told.
func TestAServletContainerVerifiesWhatItReads(t *testing.T) {
	t.Parallel()
	blocks := fenced(readDocument(t, "docs/receiving.md"), "java")
	require.Len(t, blocks, 1)
	imports, class, _ := strings.Cut(blocks[0], "\nfinal class")
	page := ""
	for line := range strings.FieldsSeq(strings.ReplaceAll(imports, "import ", "")) {
		page += fmt.Sprintf("<%%@ page import=%q %%>", strings.TrimSuffix(line, ";"))
	}
	page += "<%! static final class" + class + "%>" + readDocument(t, "integration/receivers/harness/hook.jsp")

	b := setup(t)
	config := b.db.Config()
	want := make(map[string]int)
	for _, scheme := range []string{"standard", "stripe", "github"} {
		for _, read := range []string{"bytes", "reader", "utf8"} {
			id := scheme + "-" + read
			want[id] = http.StatusOK
			if read == "reader" && scheme != "stripe" {
				want[id] = http.StatusUnauthorized
			}
			config.Endpoints = append(config.Endpoints, kit.Endpoint{
				ID: id, Secret: []string{signature.GenerateSecret()}, HCL: fmt.Sprintf("signature = %q\n timeout = \"60s\"\n retry { schedule = [] }", scheme),
			})
		}
	}
	var secrets []string
	for name, value := range config.Env() {
		if strings.HasPrefix(name, "SECRET_") {
			secrets = append(secrets, name+"="+value)
		}
	}
	url := startTomcat(t, page, secrets)
	for i := range config.Endpoints {
		e := &config.Endpoints[i]
		scheme, read, _ := strings.Cut(e.ID, "-")
		e.URL = fmt.Sprintf("%s?%s+SECRET_%s+%s", url, scheme, strings.ToUpper(scheme+"_"+read)+"_0", read)
	}
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Insert(t, kit.Event("order.created", `{"text": "ü 漢 😀"}`))
	for id, status := range want {
		b.db.AwaitAttempts(t, id, 1)
		require.Equal(t, status, b.db.Count(t, "SELECT status_code FROM tailpost.attempt WHERE endpoint_id = $1", id), id)
	}
	require.Zero(t, relay.Stop(t))
}
