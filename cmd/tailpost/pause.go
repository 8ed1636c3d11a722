package main

import "github.com/spf13/cobra"

func newPauseCommand(a *app) *cobra.Command {
	return newEndpointAction(a, "pause", "Queue an endpoint's events instead of sending them",
		"Queue an endpoint's events instead of sending them, until it is resumed. "+asks)
}

func newResumeCommand(a *app) *cobra.Command {
	return newEndpointAction(a, "resume", "Send to a paused endpoint again",
		"Send to a paused endpoint again. What is queued comes first. "+asks)
}
