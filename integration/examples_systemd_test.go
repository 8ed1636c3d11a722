package integration_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

// unit reads a systemd unit: the values of each key, whatever its section.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	keys := make(map[string][]string)
	for line := range strings.Lines(readDocument(t, name)) {
		if key, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(key, "#") {
			keys[key] = append(keys[key], value)
		}
	}
	return keys
}

// TestTheSystemdUnitRuns runs the unit's command with a service manager's socket and credentials,
// without a service manager.
func TestTheSystemdUnitRuns(t *testing.T) {
	t.Parallel()
	keys := unit(t, filepath.Join("examples", "systemd", "tailpost.service"))
	require.Equal(t, []string{"notify-reload"}, keys["Type"])
	for _, on := range []string{"DynamicUser", "NoNewPrivileges", "PrivateDevices", "PrivateTmp", "ProtectKernelTunables", "MemoryDenyWriteExecute", "RestrictNamespaces"} {
		require.Equal(t, []string{"yes"}, keys[on], on)
	}
	require.Equal(t, []string{"strict"}, keys["ProtectSystem"])
	require.Equal(t, []string{""}, keys["CapabilityBoundingSet"])

	b := setup(t)
	dir := t.TempDir()
	secret := signature.GenerateSecret()
	kit.WriteFile(t, filepath.Join(dir, "database-url"), b.db.URL+"\n")
	kit.WriteFile(t, filepath.Join(dir, "erp-secret"), secret+"\n")
	text := readDocument(t, filepath.Join("examples", "systemd", "tailpost.hcl"))
	for _, credential := range keys["LoadCredential"] {
		name, _, _ := strings.Cut(credential, ":")
		path := "/run/credentials/tailpost.service/" + name
		require.Contains(t, text, path, "a credential that nothing reads")
		text = strings.ReplaceAll(text, path, filepath.Join(dir, name))
	}
	require.NotContains(t, text, "/run/credentials/", "a credential that the unit does not load")
	text = strings.Replace(text, "https://erp.example.com/webhooks", b.receiver.URL("/erp"), 1)
	text = strings.Replace(text, "database {", fmt.Sprintf("database {\n  slot = %q", b.db.Slot), 1) + "\nnetwork {\n  allow      = [\"127.0.0.0/8\"]\n  allow_http = true\n}\n"
	path := filepath.Join(dir, "tailpost.hcl")
	kit.WriteFile(t, path, text)

	manager := newServiceManager(t)
	args := strings.Fields(strings.ReplaceAll(keys["ExecStart"][0], "/etc/tailpost/tailpost.hcl", path))
	require.Equal(t, "/usr/local/bin/tailpost", args[0])
	relay := kit.Start(t, kit.Command{
		Path: kit.Binary(t), Args: args[1:], Env: map[string]string{"NOTIFY_SOCKET": manager.path}, Secrets: []string{secret},
	})
	manager.hears(t, "READY=1")
	relay.Await(t, kit.LogDelivering, nil)
	b.db.Insert(t, kit.Event("order.paid", `{}`))
	b.receiver.Await(t, "/erp", 1)
	for _, reload := range []struct{ text, wrong string }{ // systemd waits for the end of a reload, whatever comes of it
		{text, ""},
		{"nonsense", "configuration not reloaded: it is invalid, the old one stays"},
		{text + "\nlog {\n  level = \"debug\"\n}\n", "configuration reloaded, but for what only a restart can change"},
		{text, ""},
	} {
		kit.WriteFile(t, path, reload.text)
		before := monotonic(t)
		relay.Signal(t, syscall.SIGHUP)
		began := manager.hears(t, `RELOADING=1\nMONOTONIC_USEC=(\d+)`)
		at, err := strconv.ParseInt(began[1], 10, 64)
		require.NoError(t, err)
		require.GreaterOrEqual(t, at, before, "systemd takes an earlier time for that of another reload")
		manager.hears(t, "READY=1\nSTATUS="+reload.wrong)
	}
	require.Zero(t, relay.Stop(t))
	manager.hears(t, "STOPPING=1")
}

// TestTheSystemdUnitIsOneThatSystemdReads asks systemd, where it is new enough.
func TestTheSystemdUnitIsOneThatSystemdReads(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "--version").Output()
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	version := regexp.MustCompile(`systemd (\d+)`).FindSubmatch(out)
	require.NotNil(t, version)
	number, err := strconv.Atoi(string(version[1]))
	require.NoError(t, err)
	// Here is no /usr/local/bin/tailpost, and before 253 no Type=notify-reload.
	text := strings.ReplaceAll(readDocument(t, filepath.Join("examples", "systemd", "tailpost.service")), "/usr/local/bin/tailpost", "/bin/true")
	if number < 253 {
		text = strings.Replace(text, "Type=notify-reload", "Type=notify", 1)
	}
	path := filepath.Join(t.TempDir(), "tailpost.service")
	kit.WriteFile(t, path, text)
	out, err = exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "tailpost.service:", "what systemd does not know")
}

// monotonic is CLOCK_MONOTONIC in microseconds, which is the machine's uptime.
func monotonic(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	require.NoError(t, err)
	seconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	require.NoError(t, err)
	const aSuspension = 1e6 // the uptime has it, the clock has not; and it has two digits
	return int64(seconds*1e6) - aSuspension
}

// managerSocket is the socket of a service manager.
type managerSocket struct {
	path string
	conn *net.UnixConn
}

func newServiceManager(t *testing.T) *managerSocket {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return &managerSocket{path: path, conn: conn}
}

// hears requires that the next message is the one that is meant.
func (m *managerSocket) hears(t *testing.T, expression string) []string {
	t.Helper()
	require.NoError(t, m.conn.SetReadDeadline(time.Now().Add(kit.Patience)))
	buffer := make([]byte, 1024)
	n, err := m.conn.Read(buffer)
	require.NoError(t, err, "waiting for %s", expression)
	match := regexp.MustCompile("^" + expression + "$").FindStringSubmatch(string(buffer[:n]))
	require.NotNil(t, match, "got %q, want %s", buffer[:n], expression)
	return match
}
