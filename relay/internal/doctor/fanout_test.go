package doctor_test

import (
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// fleet makes the configuration one of a fan-out over a server of NATS.
func (b *testBundle) fleet(url string, partitions int) {
	b.cfg.Fanout = config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret(url), Partitions: partitions, Replicas: 1}
}

// natsWithout starts a server of NATS without JetStream, for one user.
func natsWithout(t *testing.T, user, password string) (url string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, Username: user, Password: password})
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(kit.Patience))
	return s.ClientURL()
}

func TestWithoutAFanoutNobodyLooksForNATS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, f := range b.examine(t) {
		require.NotEqual(t, "fanout", f.Check)
	}
}

// TestWhatAFleetLacksIsNamedWithWhatMendsIt: NATS, what logs in, JetStream, a stream.
func TestWhatAFleetLacksIsNamedWithWhatMendsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	b.fleet("nats://u:s3cr3t@"+l.Addr().String(), 2)
	f := b.find(t, "fanout", doctor.Failure)
	require.Contains(t, f.Detail, l.Addr().String()+": NATS cannot be reached")
	require.Contains(t, f.Fix, "fanout.url")
	require.NotContains(t, f.Detail+f.Fix, "s3cr3t")

	without := natsWithout(t, "u", "right")
	b.fleet(without, 2)
	b.cfg.Fanout.User, b.cfg.Fanout.Password = "u", config.NewSecret("s3cr3t")
	f = b.find(t, "fanout", doctor.Failure)
	require.Contains(t, f.Detail, "NATS refuses who logs in")
	require.Contains(t, f.Fix, "fanout.credentials")
	require.NotContains(t, f.Detail+f.Fix, "s3cr3t")
	b.cfg.Fanout.Password = config.NewSecret("right")
	f = b.find(t, "fanout", doctor.Failure)
	require.Contains(t, f.Detail, "JetStream is not enabled")
	require.Contains(t, f.Fix, "jetstream {")

	n := kit.StartNATS(t, 1)
	b.fleet(n.URL(), 2)
	require.Contains(t, b.find(t, "fanout", doctor.OK).Detail, "0 of 2 streams are there: the next start makes the others")
	nc, err := nats.Connect(n.URL())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	name := "TAILPOST_" + b.cfg.Database.Slot + "_2_01"
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"TAILPOST." + b.cfg.Database.Slot + ".2.01"}, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	f = b.find(t, "fanout", doctor.Failure)
	require.Contains(t, f.Detail, "its storage must be file")
	require.Contains(t, f.Detail, "nats stream edit "+name)
	require.Empty(t, f.Fix, "the detail has it")
	list := js.StreamNames(t.Context())
	for found := range list.Name() {
		require.Equal(t, name, found, "nothing was made")
	}
}

// TestConnectionsThatAFleetLacksAreNamed: the server's, the database's and the role's limit.
func TestConnectionsThatAFleetLacksAreNamed(t *testing.T) {
	t.Parallel()
	b := setupServer(t, map[string]string{"max_connections": "24", "superuser_reserved_connections": "3"})
	connections := func(grade doctor.Grade, partitions int) doctor.Finding {
		t.Helper()
		b.fleet("nats://127.0.0.1:1", partitions)
		for _, f := range b.examine(t) {
			if f.Check == "fanout" && f.Grade == grade && strings.Contains(f.Detail, " connections to Postgres") {
				return f
			}
		}
		require.Fail(t, "no such finding")
		return doctor.Finding{}
	}
	f := connections(doctor.Failure, 16)
	require.Contains(t, f.Detail, "16 partitions need 52 connections")
	require.Contains(t, f.Detail, "max_connections leaves 21 to all, of which others use 1 now")
	require.Contains(t, f.Fix, "ALTER SYSTEM SET max_connections = 77;", "and an API, what others use, and some to spare")
	f = connections(doctor.Warning, 5) // 19, of an API 4, and the one of this test
	require.Contains(t, f.Fix, "restart Postgres")
	f = connections(doctor.OK, 4) // 16 + 4 + 1 = 21
	require.Empty(t, f.Fix)

	other, err := pgx.Connect(t.Context(), b.conn.Config().ConnString())
	require.NoError(t, err)
	require.Contains(t, connections(doctor.Warning, 4).Detail, "others use 2 now")
	require.NoError(t, other.Close(t.Context()))

	b.exec(t, "ALTER DATABASE postgres CONNECTION LIMIT 1000")
	require.Contains(t, connections(doctor.Warning, 5).Detail, "max_connections leaves 21", "another limit is enough")
	b.exec(t, "ALTER DATABASE postgres CONNECTION LIMIT 19") // without one to spare
	require.Contains(t, connections(doctor.Warning, 5).Detail, "the database's limit is 19")
	b.exec(t, "ALTER DATABASE postgres CONNECTION LIMIT 10")
	f = connections(doctor.Failure, 4)
	require.Contains(t, f.Detail, "the database's limit is 10")
	require.Contains(t, f.Fix, `ALTER DATABASE "postgres" CONNECTION LIMIT 41;`)
	b.exec(t, "ALTER ROLE postgres CONNECTION LIMIT 1") // which does not hold for a superuser
	require.Contains(t, connections(doctor.Failure, 4).Detail, "the database's limit is 10")
	b.exec(t, "ALTER DATABASE postgres CONNECTION LIMIT 20") // enough for five partitions, and no more
	b.as(t, "REPLICATION CONNECTION LIMIT 5")
	f = connections(doctor.Failure, 5)
	require.Contains(t, f.Detail, "the role's limit is 5, of which others use 0 now")
	require.Regexp(t, `^ALTER ROLE "doctor_\w+" CONNECTION LIMIT 43;$`, f.Fix)
}
