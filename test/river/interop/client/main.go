// Command client is a client of River's that does what it is told, one line of JSON at a time.
//
// A line on standard input is a call:
//
//	{"call": 7, "command": "jobCancel", "with": {"id": "9007199254740993"}}
//
// and is answered, in any order, by a line on standard output:
//
//	{"call": 7, "result": {…}}  or  {"call": 7, "error": "not found"}
//
// Attempts are told of as they happen: {"event": "attempt", "job": "1", "attempt": 1} when one starts,
// {"event": "end", …, "outcome": "…"} when its worker has returned. Ids are texts, because JSON's readers lose digits.
//
// The database is DATABASE_URL. The process ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

type call struct {
	Call    int64           `json:"call"`
	Command string          `json:"command"`
	With    json.RawMessage `json:"with"`
}

type answer struct {
	Call   int64  `json:"call"`
	Result any    `json:"result"`
	Error  string `json:"error,omitempty"`
}

type event struct {
	Event   string `json:"event"`
	Job     int64  `json:"job,string"`
	Attempt int    `json:"attempt"`
	Outcome string `json:"outcome,omitempty"`
}

// program is what the commands share: the pool, the client that works jobs once it was started, and one that never
// does, through which jobs and queues are handled.
type program struct {
	schema  string
	driver  *riverpgxv5.Driver
	insert  *river.Client[pgx.Tx]
	working *river.Client[pgx.Tx]

	output sync.Mutex
}

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	p := &program{schema: os.Getenv("RIVER_SCHEMA"), driver: riverpgxv5.New(pool)}
	p.insert, err = river.NewClient(p.driver, &river.Config{Schema: p.schema, Logger: logger()})
	if err != nil {
		log.Fatal(err)
	}

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			log.Fatalf("not a call: %v", err)
		}
		// Each in a goroutine of its own: a stop waits for jobs that another call may be about to end.
		go func() {
			result, err := p.do(ctx, c)
			if err != nil {
				p.say(answer{Call: c.Call, Error: err.Error()})
			} else {
				p.say(answer{Call: c.Call, Result: result})
			}
		}()
	}
}

func (p *program) do(ctx context.Context, c call) (any, error) {
	switch c.Command {
	case "start":
		return with(c, func(o startOptions) (any, error) { return nil, p.start(ctx, o) })
	case "stop":
		return with(c, func(o stopOptions) (any, error) { return nil, p.stop(ctx, o) })
	case "insert":
		return with(c, func(o insertOptions) (any, error) { return p.insertJobs(ctx, o) })
	case "jobGet":
		return with(c, func(o jobID) (any, error) { return rowOf(p.insert.JobGet(ctx, o.ID)) })
	case "jobCancel":
		return with(c, func(o jobID) (any, error) { return rowOf(p.insert.JobCancel(ctx, o.ID)) })
	case "jobRetry":
		return with(c, func(o jobID) (any, error) { return rowOf(p.insert.JobRetry(ctx, o.ID)) })
	case "jobDelete":
		return with(c, func(o jobID) (any, error) { return rowOf(p.insert.JobDelete(ctx, o.ID)) })
	case "queueGet":
		return with(c, func(o queueName) (any, error) { return queueOf(p.insert.QueueGet(ctx, o.Queue)) })
	case "queuePause":
		return with(c, func(o queueName) (any, error) { return nil, p.insert.QueuePause(ctx, o.Queue, nil) })
	case "queueResume":
		return with(c, func(o queueName) (any, error) { return nil, p.insert.QueueResume(ctx, o.Queue, nil) })
	case "migrateValidate":
		return with(c, func(o migrateOptions) (any, error) { return p.migrateValidate(ctx, o) })
	case "migrateUp":
		return with(c, func(o migrateOptions) (any, error) { return p.migrateUp(ctx, o) })
	default:
		return nil, fmt.Errorf("no such command: %q", c.Command)
	}
}

// with decodes what a call is to be done with.
func with[T any](c call, do func(T) (any, error)) (any, error) {
	var options T
	if err := json.Unmarshal(c.With, &options); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Command, err)
	}
	return do(options)
}

// say writes one line.
func (p *program) say(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		log.Fatal(err)
	}
	p.output.Lock()
	defer p.output.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

// logger sends what River has to say to standard error, from warnings on.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
