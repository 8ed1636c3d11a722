package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// duplicates is how long a stream knows the ids of its messages. What comes again later is told by
// its number.
const duplicates = 2 * time.Minute

// ErrSetup says that a stream is not set up as Tailpost needs it: somebody has to change that.
var ErrSetup = errors.New("the fan-out's streams are not set up as Tailpost needs them")

// stream returns the name of a partition's stream. It has the number of partitions, so that nothing
// is read by the rules of another.
func (f *Fanout) stream(partition int) string {
	return fmt.Sprintf("TAILPOST_%s_%d_%02d", f.opts.Slot, f.opts.Partitions, partition)
}

// subject returns the subject of a partition's stream.
func (f *Fanout) subject(partition int) string {
	return fmt.Sprintf("TAILPOST.%s.%d.%02d", f.opts.Slot, f.opts.Partitions, partition)
}

func (f *Fanout) streamConfig(partition int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: f.stream(partition), Subjects: []string{f.subject(partition)},
		Description: "What slot " + f.opts.Slot + " brings to the senders of partition " + fmt.Sprint(partition) + ". Tailpost purges it.",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxMsgsPerSubject: -1,
		Replicas: f.opts.Replicas, Duplicates: duplicates,
	}
}

// ensure makes the stream of a partition, or checks the one that is there.
func (f *Fanout) ensure(ctx context.Context, partition int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, errors.New("no answer from JetStream: is it enabled, and has the cluster a leader?"))
	defer cancel()
	want := f.streamConfig(partition)
	s, err := f.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = f.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			s, err = f.js.Stream(ctx, want.Name) // another process was faster
		}
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("make stream %s: %w", want.Name, err)
	}
	have := s.CachedInfo().Config
	return judge(&have, &want)
}

// ErrLater says that a stream already has messages of a later hold of the slot.
var ErrLater = errors.New("the fan-out's streams have messages of a later hold of the slot: another process has it now, or the database was restored to an earlier time")

// later returns ErrLater if the last message of a partition is of a later hold: senders would
// ignore whatever this one publishes behind it.
func (f *Fanout) later(ctx context.Context, partition int, by By) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, errors.New("no answer from JetStream: has the cluster a leader?"))
	defer cancel()
	name := f.stream(partition)
	s, err := f.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return f.ensure(ctx, partition)
	}
	var last *jetstream.RawStreamMsg
	if err == nil {
		last, err = s.GetLastMsgForSubject(ctx, f.subject(partition))
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case err != nil && cause != nil:
		return fmt.Errorf("look at stream %s: %w", name, cause)
	case err != nil:
		return fmt.Errorf("look at stream %s: %w", name, err)
	}
	h, _, err := newCodec().decodeHead(last.Data)
	if err != nil || h.Origin != by.Origin || h.by().before(by) {
		return nil // whoever reads it says what is wrong with a message
	}
	return fmt.Errorf("%w; after a restore, `nats stream purge %s` drops what the database has forgotten", ErrLater, name)
}

// judge returns what of a stream's settings has to be changed; nil: nothing.
func judge(have, want *jetstream.StreamConfig) error {
	wrong := differences(have, want)
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: stream %s: %s; change that with `nats stream edit %s`, or delete the stream where nothing in it is needed",
		ErrSetup, want.Name, strings.Join(wrong, ", "), want.Name)
}

// differences returns what of a stream's settings would lose messages or keep them from being
// published or purged.
func differences(have, want *jetstream.StreamConfig) (wrong []string) {
	for _, d := range []struct {
		differs bool
		what    string
	}{
		{len(have.Subjects) != 1 || have.Subjects[0] != want.Subjects[0], "its only subject must be " + want.Subjects[0]},
		{have.Storage != want.Storage, "its storage must be file"},
		{have.Retention != want.Retention, "its retention must be limits"},
		{have.Replicas != want.Replicas, fmt.Sprintf("it has %d replicas and the configuration says %d", have.Replicas, want.Replicas)},
		{have.MaxAge != 0, "it must have no max age"},
		{have.MaxBytes > 0, "it must have no max bytes"},
		{have.MaxMsgs > 0, "it must have no max messages"},
		{have.MaxMsgsPerSubject > 0, "it must have no max messages per subject"},
		{have.MaxMsgSize > 0, "it must have no max message size"},
		{have.NoAck, "it must acknowledge messages"},
		{have.PersistMode != want.PersistMode, "it must persist messages before it acknowledges them"},
		{have.Sealed, "it must not be sealed"},
		{have.DenyPurge, "it must allow purging"},
		{have.Mirror != nil || len(have.Sources) > 0, "it must have no mirror and no sources"},
		{have.SubjectTransform != nil, "it must not transform subjects"},
	} {
		if d.differs {
			wrong = append(wrong, d.what)
		}
	}
	return wrong
}
