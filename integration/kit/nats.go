package kit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgserver"
)

// NATS is a JetStream of one node or more in this process, with real files. Its methods belong to
// one goroutine.
type NATS struct {
	options []*server.Options
	nodes   []*server.Server // nil: it is stopped
}

// LeftByNATS are the goroutines that a server now and then leaves behind when it shuts down.
func LeftByNATS() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	return []goleak.Option{
		goleak.IgnoreTopFunction(server + ".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction(server + ".(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction(server + "/ats.Register.func1"),
	}
}

// StartNATS starts so many nodes; more than one are a cluster.
func StartNATS(t TB, nodes int) *NATS {
	t.Helper()
	n := &NATS{nodes: make([]*server.Server, nodes)}
	var routes []*url.URL
	for i := range nodes {
		o := natsOptions(fmt.Sprintf("n%d", i), freePort(t), t.TempDir())
		if nodes > 1 {
			o.Cluster = server.ClusterOpts{Name: "tailpost", Host: "127.0.0.1", Port: freePort(t)}
			routes = append(routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", o.Cluster.Port)})
		}
		n.options = append(n.options, o)
	}
	for i := range nodes {
		n.options[i].Routes = routes
		n.Start(t, i)
	}
	t.Cleanup(func() {
		for i := range nodes {
			n.Stop(i)
		}
	})
	return n
}

// natsOptions are those of a node that has a message on the disk before it acknowledges it.
func natsOptions(name string, port int, dir string) *server.Options {
	return &server.Options{
		ServerName: name, Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: filepath.Join(dir, "jetstream"), SyncAlways: true,
	}
}

// ServeNATS is one node, of a process that is no test's: it keeps its files in dir, calls serving
// with its address once clients can connect, and returns when ctx is done.
func ServeNATS(ctx context.Context, dir string, serving func(url string)) error {
	s, err := server.NewServer(natsOptions("n0", server.RANDOM_PORT, dir))
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	go s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(time.Minute) {
		return errors.New("NATS does not take connections")
	}
	serving(s.ClientURL())
	<-ctx.Done()
	return nil
}

func freePort(t TB) int {
	t.Helper()
	port, err := pgserver.FreePort(t.Context())
	if err != nil {
		t.Fatalf("find a port: %v", err)
	}
	return port
}

// Start starts a node that is stopped, with the files that it had.
func (n *NATS) Start(t TB, node int) {
	t.Helper()
	s, err := server.NewServer(n.options[node].Clone())
	if err != nil {
		t.Fatalf("start NATS: %v", err)
	}
	n.nodes[node] = s
	go s.Start()
	if len(n.nodes) == 1 && !s.ReadyForConnections(time.Minute) {
		t.Fatalf("NATS does not take connections")
	}
}

// Stop stops a node and waits until it is gone.
func (n *NATS) Stop(node int) {
	if s := n.nodes[node]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
		n.nodes[node] = nil
	}
}

// URL is the address of all nodes.
func (n *NATS) URL() string {
	var all []string
	for _, o := range n.options {
		all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(all, ",")
}

// Fanout is the block of a configuration by which relays publish here, in so many partitions.
func (n *NATS) Fanout(partitions int, more string) string {
	return fmt.Sprintf("fanout \"nats\" {\n  url        = %q\n  partitions = %d\n  replicas   = %d\n%s\n}\n", n.URL(), partitions, len(n.nodes), more)
}

// DeleteStreams deletes all streams with what they hold.
func (n *NATS) DeleteStreams(t TB) {
	t.Helper()
	n.each(t, "delete", func(js jetstream.JetStream, name string) error { return js.DeleteStream(t.Context(), name) })
}

// PurgeStreams deletes what all streams hold.
func (n *NATS) PurgeStreams(t TB) {
	t.Helper()
	n.each(t, "purge", func(js jetstream.JetStream, name string) error {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			return err
		}
		return stream.Purge(t.Context())
	})
}

// each does something with every stream.
func (n *NATS) each(t TB, what string, do func(js jetstream.JetStream, name string) error) {
	t.Helper()
	conn, err := nats.Connect(n.URL())
	if err != nil {
		t.Fatalf("connect to NATS: %v", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatalf("use JetStream: %v", err)
	}
	streams := js.StreamNames(t.Context())
	for name := range streams.Name() {
		if err := do(js, name); err != nil {
			t.Fatalf("%s stream %s: %v", what, name, err)
		}
	}
	if err := streams.Err(); err != nil {
		t.Fatalf("list the streams: %v", err)
	}
}
