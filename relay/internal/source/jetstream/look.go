package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Why nothing could be published, as Look finds it. ErrSetup is another reason.
var (
	ErrUnreachable = errors.New("NATS cannot be reached")
	ErrRefused     = errors.New("NATS refuses who logs in")
	ErrForbidden   = errors.New("NATS forbids who logs in what the fan-out needs")
	ErrNoJetStream = errors.New("JetStream is not enabled")
	ErrNoAnswer    = errors.New("JetStream does not answer")
	ErrNoQuorum    = errors.New("a stream takes nothing without most of its replicas")
)

// ErrDegraded is why less is safe than the configuration says, while everything can be published.
var ErrDegraded = errors.New("a stream lacks replicas")

// What the server answers of a stream that nobody leads; the package of the client does not name
// them.
const (
	codeUnavailable = 10008
	codeOffline     = 10118
)

// overlapTimeout bounds the question whose the subject of a stream is, which not everybody may ask.
const overlapTimeout = time.Second

// Look connects as Open does and looks at the streams. It returns how many of them are there; those
// that are missing Open would make. ErrDegraded comes only where nothing else is wrong. Look
// changes nothing. Its errors show neither the URL nor what authenticates.
func Look(ctx context.Context, o Options) (there int, err error) {
	o.Replicas = max(o.Replicas, 1)
	f := &Fanout{opts: o, log: o.Logger, link: &link{}}
	if err := f.connect(); err != nil {
		return 0, whyNotConnected(err)
	}
	defer f.Close()
	missing := -1
	var degraded error
	for n := range o.Partitions {
		found, err := lookAt(ctx, f, n)
		switch {
		case errors.Is(err, ErrDegraded):
			there++
			degraded = cmp.Or(degraded, err)
		case err != nil:
			return there, err
		case found:
			there++
		case missing < 0:
			missing = n
		}
	}
	if missing >= 0 {
		if err := couldMake(ctx, f, missing); err != nil {
			return there, err
		}
	}
	return there, degraded
}

func whyNotConnected(err error) error {
	for _, refusal := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrPermissionViolation,
		nats.ErrNkeysNotSupported, nats.ErrNoUserCB,
	} {
		if errors.Is(err, refusal) {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// lookAt checks the stream of a partition, if it is there.
func lookAt(ctx context.Context, f *Fanout, partition int) (there bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, ErrNoAnswer)
	defer cancel()
	want := f.streamConfig(partition)
	s, err := f.js.Stream(ctx, want.Name)
	switch {
	case err == nil:
		info := s.CachedInfo()
		if err := judge(&info.Config, &want); err != nil {
			return true, err
		}
		return true, judgeReplicas(info)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return false, ErrNoJetStream
	case isLeaderless(err):
		return false, fmt.Errorf("%w: stream %s has no leader", ErrNoQuorum, want.Name)
	case errors.Is(f.nc.LastError(), nats.ErrPermissionViolation):
		// What is forbidden is not answered.
		return false, fmt.Errorf("%w: %w", ErrForbidden, f.nc.LastError())
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return false, fmt.Errorf("look at stream %s: %w", want.Name, err)
}

// judgeReplicas returns what of a stream's replicas is away; nil: nothing. A server alone tells of
// none.
func judgeReplicas(info *jetstream.StreamInfo) error {
	if info.Cluster == nil {
		return nil
	}
	if info.Cluster.Leader == "" {
		return fmt.Errorf("%w: stream %s has no leader", ErrNoQuorum, info.Config.Name)
	}
	live, away := 1, []string(nil)
	for _, r := range info.Cluster.Replicas {
		switch {
		case r.Offline:
			away = append(away, r.Name+" is offline")
		case !r.Current:
			away = append(away, r.Name+" is behind")
		default:
			live++
		}
	}
	kind := ErrDegraded
	switch most := info.Config.Replicas/2 + 1; {
	case len(away) == 0:
		return nil
	case live < most:
		kind = ErrNoQuorum
	}
	return fmt.Errorf("%w: stream %s has %d of %d: %s", kind, info.Config.Name, live, info.Config.Replicas, strings.Join(away, ", "))
}

func isLeaderless(err error) bool {
	said := new(jetstream.APIError)
	return errors.As(err, &said) && (said.ErrorCode == codeUnavailable || said.ErrorCode == codeOffline)
}

// couldMake looks for what would keep a stream from being made.
func couldMake(ctx context.Context, f *Fanout, partition int) error {
	if f.opts.Replicas > 1 && f.nc.ConnectedClusterName() == "" {
		return fmt.Errorf("%w: the configuration says %d replicas, and NATS is a server alone: let %d be a cluster, or write replicas = 1",
			ErrSetup, f.opts.Replicas, f.opts.Replicas)
	}
	ctx, cancel := context.WithTimeout(ctx, overlapTimeout)
	defer cancel()
	if other, err := f.js.StreamNameBySubject(ctx, f.subject(partition)); err == nil && other != f.stream(partition) {
		return fmt.Errorf("%w: stream %s takes subject %s: take it from that stream's subjects, `nats stream edit %s`",
			ErrSetup, other, f.subject(partition), other)
	}
	return nil
}
