// Command tailpost tails a Postgres outbox table and delivers its rows as signed webhooks.
//
// It owns the process: arguments, environment, streams, signals and exit codes. It decides nothing
// about delivery, which is package relay's. One file per command; main.go alone touches the
// process.
//
//	stdout   the result: a table, a script, or JSON with --json
//	stderr   the rest: "tailpost: …", then "Try: …" with what to do
//	exit     0 done, 1 failed, 2 used wrongly, 3 the configuration is invalid
package main
