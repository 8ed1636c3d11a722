package jetstream

import (
	"context"
	"errors"
	"fmt"
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
)

// overlapTimeout bounds the question whose the subject of a stream is, which not everybody may ask.
const overlapTimeout = time.Second

// Look connects as Open does and looks at the streams. It returns how many of them are there; those
// that are missing Open would make. Look changes nothing. Its errors show neither the URL nor what
// authenticates.
func Look(ctx context.Context, o Options) (there int, err error) {
	o.Replicas = max(o.Replicas, 1)
	f := &Fanout{opts: o, log: o.Logger, link: &link{}}
	if err := f.connect(); err != nil {
		return 0, whyNotConnected(err)
	}
	defer f.Close()
	missing := -1
	for n := range o.Partitions {
		found, err := lookAt(ctx, f, n)
		switch {
		case err != nil:
			return there, err
		case found:
			there++
		case missing < 0:
			missing = n
		}
	}
	if missing < 0 {
		return there, nil
	}
	return there, couldMake(ctx, f, missing)
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
		have := s.CachedInfo().Config
		return true, judge(&have, &want)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return false, ErrNoJetStream
	case errors.Is(f.nc.LastError(), nats.ErrPermissionViolation):
		// What is forbidden is not answered.
		return false, fmt.Errorf("%w: %w", ErrForbidden, f.nc.LastError())
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return false, fmt.Errorf("look at stream %s: %w", want.Name, err)
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
