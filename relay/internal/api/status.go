package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Relay says how the relay does.
type Relay struct {
	Slot          string        `json:"slot" doc:"The replication slot."`
	Epoch         int64         `json:"epoch" doc:"How often the slot was taken; 0: never."`
	Holder        string        `json:"holder,omitempty" doc:"The process that took it last."`
	SettledLSN    string        `json:"settled_lsn" doc:"Every event that committed before it is delivered or queued."`
	SettledAt     *time.Time    `json:"settled_at,omitempty" doc:"Commit time of the last settled transaction."`
	AuditedAt     *time.Time    `json:"audited_at,omitempty" doc:"When the last audit began that found every earlier event settled."`
	SlotState     SlotState     `json:"slot_state"`
	Publishing    Publishing    `json:"publishing" doc:"Of a fan-out."`
	Partitions    []Partition   `json:"partitions" nullable:"false" doc:"Of a fan-out: how far senders are. Empty while the holder delivers itself."`
	Queue         Queue         `json:"queue"`
	This          Replica       `json:"this" doc:"The process that answers."`
	Configuration Configuration `json:"configuration" doc:"Of the process that answers."`
	Replicas      []string      `json:"replicas" nullable:"false" doc:"Processes that have a connection for the API open now."`
}

// SlotState is the slot as the server reports it.
type SlotState struct {
	Exists         bool   `json:"exists"`
	Active         bool   `json:"active" doc:"A relay streams from it."`
	WALStatus      string `json:"wal_status,omitempty" doc:"reserved, extended, unreserved or lost."`
	ConfirmedFlush string `json:"confirmed_flush_lsn"`
	LagBytes       int64  `json:"lag_bytes" doc:"Write-ahead log that the relay has not confirmed."`
	RetainedBytes  int64  `json:"retained_bytes" doc:"Write-ahead log that the server keeps for the slot."`
}

// Publishing says what the holder of the slot does for the senders of a fan-out.
type Publishing struct {
	Partitions       int        `json:"partitions" doc:"To how many it publishes; 0: it delivers itself."`
	Alone            bool       `json:"alone" doc:"It delivers itself although its configuration has a fan-out: NATS takes nothing."`
	UnpublishedSince *time.Time `json:"unpublished_since,omitempty" doc:"Since when NATS takes nothing, while the holder waits, or, with partitions 0, delivers alone. Absent: NATS takes all, or another process than the one that answers has the slot."`
}

// Partition is a share of the endpoints, which one sender of a fan-out has.
type Partition struct {
	Number      int        `json:"number"`
	Owner       string     `json:"owner,omitempty" doc:"The process that took it last; absent: none has."`
	Epoch       int64      `json:"epoch" doc:"How often it was taken, or taken away."`
	SettledLSN  string     `json:"settled_lsn" doc:"Every event of its endpoints that committed before it is delivered or queued."`
	SettledAt   *time.Time `json:"settled_at,omitempty" doc:"Commit time of the last settled transaction."`
	BehindBytes int64      `json:"behind_bytes" doc:"Write-ahead log from there to what is published. Up to 64 MB say nothing: what has no event for a partition is recorded there now and then."`
	UpdatedAt   time.Time  `json:"updated_at" doc:"When its owner last recorded, or took it. Where it is long ago and the partition is behind by more than 64 MB, nobody sends for it."`
}

// Queue counts what is not delivered.
type Queue struct {
	Pending         int64      `json:"pending" doc:"Deliveries that wait. Where tailpost.delivery has more than 32 MiB it is exact up to 1,000, and estimated beyond."`
	Dead            int64      `json:"dead" doc:"Deliveries given up; counted as pending is."`
	OldestPendingAt *time.Time `json:"oldest_pending_at,omitempty" doc:"When the oldest pending event was created."`
}

// Configuration says where a process has its configuration from.
type Configuration struct {
	LoadedAt  *time.Time          `json:"loaded_at,omitempty" doc:"When it took effect: at the start, or by the last reload that changed something."`
	Blocks    []ConfigurationPart `json:"blocks" nullable:"false" doc:"Where each block is declared; empty: Go code made the configuration. Endpoints and keys say so themselves."`
	Endpoints int                 `json:"endpoints" doc:"How many it declares."`
	Keys      int                 `json:"keys" doc:"How many keys of the API it declares."`
}

// ConfigurationPart is a block of the configuration.
type ConfigurationPart struct {
	Block string `json:"block" example:"database"`
	File  string `json:"file"`
	Line  int    `json:"line"`
}

func showConfiguration(cfg *config.Config, loaded time.Time) Configuration {
	shown := Configuration{
		LoadedAt: writable(loaded), Blocks: make([]ConfigurationPart, 0, len(cfg.Blocks)), Endpoints: len(cfg.Endpoints), Keys: len(cfg.API.Keys),
	}
	for _, b := range cfg.Blocks {
		shown.Blocks = append(shown.Blocks, ConfigurationPart{b.Name, b.Origin.File, b.Origin.Line})
	}
	return shown
}

// Replica is one process.
type Replica struct {
	Owner string `json:"owner" doc:"Host name and process id; empty: a command that reads the database itself."`
	State string `json:"state" enum:"starting,standby,delivering,draining,stopped"`
	Epoch int64  `json:"epoch"`
}

type relayInput struct{}

type relayOutput struct {
	Body Relay
}

func getRelay(ctx context.Context, s *Server, p *principal, _ *relayInput) (*relayOutput, error) {
	if p.tenant() != "" {
		return nil, query.ErrNotFound
	}
	status := s.status()
	st, err := s.store.RelayState(ctx, status.Slot)
	if err != nil {
		return nil, err
	}
	return &relayOutput{Body: Relay{
		Slot: status.Slot, Epoch: st.Epoch, Holder: st.Owner, SettledLSN: st.Settled, SettledAt: st.SettledAt, AuditedAt: st.AuditedAt,
		SlotState: SlotState{
			Exists: st.SlotExists, Active: st.SlotActive, WALStatus: st.WALStatus, ConfirmedFlush: st.ConfirmedFlush,
			LagBytes: st.LagBytes, RetainedBytes: st.RetainedBytes,
		},
		Publishing: Publishing{Partitions: st.PublishesTo, Alone: st.Alone, UnpublishedSince: writable(laterOf(status.Unpublished, status.Alone))}, Partitions: showPartitions(st.Partitions),
		Queue:    Queue{Pending: st.Pending, Dead: st.Dead, OldestPendingAt: st.Oldest},
		This:     Replica{Owner: status.Owner, State: status.State, Epoch: status.Epoch},
		Replicas: append([]string{}, st.Replicas...), Configuration: showConfiguration(s.config(), status.LoadedAt),
	}}, nil
}

// laterOf returns the later of two times, of which one at most is set but for a moment.
func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func showPartitions(all []query.Partition) []Partition {
	shown := make([]Partition, len(all))
	for i, p := range all {
		shown[i] = Partition{p.Number, p.Owner, p.Epoch, p.Settled, p.SettledAt, p.Behind, p.UpdatedAt}
	}
	return shown
}

type metricsInput struct{}

type metricsOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

func getMetrics(ctx context.Context, s *Server, p *principal, _ *metricsInput) (*metricsOutput, error) {
	if p.tenant() != "" {
		return nil, query.ErrNotFound // they are of every tenant's endpoints
	}
	if s.metrics == nil {
		return nil, problem(http.StatusNotFound, "There are no metrics: add a metrics block to the configuration.")
	}
	return &metricsOutput{ContentType: "text/plain; version=0.0.4; charset=utf-8", Body: s.metrics(ctx)}, nil
}

// Health says that all is well.
type Health struct {
	Status string `json:"status" enum:"ok"`
	State  string `json:"state" enum:"starting,standby,delivering,draining,stopped" doc:"What the relay of this process does."`
}

type healthOutput struct {
	Body Health
}

type healthInput struct{}

func healthz(_ context.Context, s *Server, _ *principal, _ *healthInput) (*healthOutput, error) {
	return &healthOutput{Body: Health{Status: "ok", State: s.status().State}}, nil
}
