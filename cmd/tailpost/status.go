package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// shownRelay is the relay as the API has it.
type shownRelay struct {
	Slot      string     `json:"slot"`
	Epoch     int64      `json:"epoch"`
	Holder    string     `json:"holder"`
	SettledAt *time.Time `json:"settled_at"`
	AuditedAt *time.Time `json:"audited_at"`
	SlotState struct {
		Exists        bool  `json:"exists"`
		Active        bool  `json:"active"`
		LagBytes      int64 `json:"lag_bytes"`
		RetainedBytes int64 `json:"retained_bytes"`
	} `json:"slot_state"`
	Queue struct {
		Pending         int64      `json:"pending"`
		Dead            int64      `json:"dead"`
		OldestPendingAt *time.Time `json:"oldest_pending_at"`
	} `json:"queue"`
	This struct {
		Owner string `json:"owner"`
		State string `json:"state"`
	} `json:"this"`
	Publishing struct {
		Partitions       int        `json:"partitions"`
		Alone            bool       `json:"alone"`
		UnpublishedSince *time.Time `json:"unpublished_since"`
	} `json:"publishing"`
	Partitions []json.RawMessage `json:"partitions"`
}

// shownPartition is a partition as the API has it.
type shownPartition struct {
	Number      int        `json:"number"`
	Owner       string     `json:"owner"`
	SettledAt   *time.Time `json:"settled_at"`
	BehindBytes int64      `json:"behind_bytes"`
	UpdatedAt   *time.Time `json:"updated_at"`
}

func partitionTable() table {
	return table{
		columns: []string{"partition", "owner", "settled", "behind", "recorded"},
		cells: row(func(v shownPartition) []string {
			return []string{strconv.Itoa(v.Number), v.Owner, at(v.SettledAt), size(v.BehindBytes), at(v.UpdatedAt)}
		}),
	}
}

func newStatusCommand(a *app) *cobra.Command {
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the relay does",
		Long:  "Say what the relay does, what its slot keeps, and what waits. " + asks + " The exit code is 1 if no relay streams from the slot.",
		Args:  args(0, 0),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, _ []string) error {
			answer, err := c.ask(cmd.Context(), http.MethodGet, "/v1/relay", nil, nil)
			if err != nil {
				return err
			}
			var r shownRelay
			if err := json.Unmarshal(answer, &r); err != nil {
				return fmt.Errorf("read the API's answer: %w", err)
			}
			if api.asJSON {
				err = printRaw(a, answer)
			} else {
				err = printStatus(a, &r)
			}
			if err == nil && !r.SlotState.Active {
				err = &quietError{code: exitFailed}
			}
			return err
		}),
	}
	api.register(cmd)
	return cmd
}

func printStatus(a *app, r *shownRelay) error {
	streaming := "nobody streams from it"
	switch {
	case !r.SlotState.Exists:
		streaming = "it does not exist"
	case r.SlotState.Active:
		streaming = "streaming, taken " + count(int(r.Epoch), "time") + ", last by " + printable(r.Holder, maxPreview)
	}
	answered := printable(r.This.Owner, maxPreview) + ", " + printable(r.This.State, maxPreview)
	if r.This.Owner == "" {
		answered = "the database"
	}
	lines := [][2]string{
		{"answered by", answered},
		{"slot", printable(r.Slot, maxPreview) + ": " + streaming},
		{"log", size(r.SlotState.LagBytes) + " not confirmed, " + size(r.SlotState.RetainedBytes) + " kept"},
		{"settled", orNever(at(r.SettledAt))},
		{"audited", orNever(at(r.AuditedAt))},
		{"pending", number(r.Queue.Pending) + oldest(r.Queue.OldestPendingAt)},
		{"dead", number(r.Queue.Dead)},
	}
	if r.Publishing.Partitions > 0 || r.Publishing.Alone || r.Publishing.UnpublishedSince != nil {
		lines = append(lines, [2]string{"publishing", publishing(r)})
	}
	for _, line := range lines {
		if err := a.printf("%-12s %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return printPartitions(a, r.Partitions)
}

func publishing(r *shownRelay) string {
	text := "to " + count(r.Publishing.Partitions, "partition")
	if r.Publishing.Partitions == 0 {
		text = "to nobody, the relay that has the slot delivers alone"
	}
	switch since := at(r.Publishing.UnpublishedSince); {
	case since != "": // only that relay knows
		text += ": NATS has taken nothing since " + since
	case r.Publishing.Alone:
		text += ": NATS takes nothing, its log says why"
	}
	return text
}

// printPartitions prints a table of them, where there are any.
func printPartitions(a *app, all []json.RawMessage) error {
	if len(all) == 0 {
		return nil
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	rows := partitionTable().begin(a)
	for _, partition := range all {
		if err := rows.add(partition); err != nil {
			return err
		}
	}
	return rows.end()
}

func oldest(t *time.Time) string {
	if t == nil {
		return ""
	}
	return ", the oldest from " + at(t)
}

func orNever(text string) string {
	if text == "" {
		return "never"
	}
	return text
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// size shows a number of bytes.
func size(n int64) string {
	const unit = 1 << 10
	value, name := float64(n), ""
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, larger
	}
	if name == "" {
		return number(n) + " B"
	}
	return fmt.Sprintf("%.1f %s", value, name)
}
