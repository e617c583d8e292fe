package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

type startOptions struct {
	ClientID string `json:"clientId"`
	// Queues are the slots of each queue.
	Queues map[string]int `json:"queues"`
	// Kinds have workers; River wants at least one. Their jobs' args say what the workers do.
	Kinds          []string `json:"kinds"`
	PollMs         int64    `json:"pollMs"`
	CooldownMs     int64    `json:"cooldownMs"`
	PollOnly       bool     `json:"pollOnly"`
	RescueAfterMs  int64    `json:"rescueAfterMs"`
	TimeoutMs      int64    `json:"timeoutMs"`
	OnlyKnownKinds bool     `json:"onlyKnownKinds"`
}

// start starts a client that works jobs. Like any that does, it stands for election and does all maintenance when it
// leads. Zero values leave River's defaults.
func (p *program) start(ctx context.Context, o startOptions) error {
	workers := river.NewWorkers()
	for _, kind := range o.Kinds {
		river.AddWorkerArgs(workers, args{kind: kind}, &worker{program: p})
	}
	queues := map[string]river.QueueConfig{}
	for name, slots := range o.Queues {
		queues[name] = river.QueueConfig{MaxWorkers: slots}
	}
	config := &river.Config{
		FetchCooldown:        milliseconds(o.CooldownMs),
		FetchPollInterval:    milliseconds(o.PollMs),
		ID:                   o.ClientID,
		JobTimeout:           milliseconds(o.TimeoutMs),
		Logger:               logger(),
		PollOnly:             o.PollOnly,
		Queues:               queues,
		RescueStuckJobsAfter: milliseconds(o.RescueAfterMs),
		Schema:               p.schema,
		Workers:              workers,
	}
	if err := configure(config, o); err != nil {
		return err
	}
	client, err := river.NewClient(p.driver, config)
	if err != nil {
		return err
	}
	p.working = client
	return client.Start(ctx)
}

type stopOptions struct {
	// Cancel does not let running jobs finish: their contexts are cancelled at once.
	Cancel bool `json:"cancel"`
}

func (p *program) stop(ctx context.Context, o stopOptions) error {
	if p.working == nil {
		return errors.New("not started")
	}
	if o.Cancel {
		return p.working.StopAndCancel(ctx)
	}
	return p.working.Stop(ctx)
}

type insertOptions struct {
	Kind  string          `json:"kind"`
	Queue string          `json:"queue"`
	Args  json.RawMessage `json:"args"`
	// Count is how many to insert, all alike, in one call of River's.
	Count       int             `json:"count"`
	MaxAttempts int             `json:"maxAttempts"`
	Metadata    json.RawMessage `json:"metadata"`
	Priority    int             `json:"priority"`
	ScheduledAt time.Time       `json:"scheduledAt"`
	Tags        []string        `json:"tags"`
	// Unique makes the job unique by its args.
	Unique bool `json:"unique"`
}

// inserted is a job's row, and whether it is one that was there before.
type inserted struct {
	*row
	Duplicate bool `json:"duplicate"`
}

func (p *program) insertJobs(ctx context.Context, o insertOptions) ([]inserted, error) {
	params := river.InsertManyParams{
		Args: args{kind: o.Kind, raw: o.Args},
		InsertOpts: &river.InsertOpts{
			MaxAttempts: o.MaxAttempts,
			Metadata:    o.Metadata,
			Priority:    o.Priority,
			Queue:       o.Queue,
			ScheduledAt: o.ScheduledAt,
			Tags:        o.Tags,
			UniqueOpts:  river.UniqueOpts{ByArgs: o.Unique},
		},
	}
	many := []river.InsertManyParams{params}
	for len(many) < o.Count {
		many = append(many, params)
	}
	results, err := p.insert.InsertMany(ctx, many)
	if err != nil {
		return nil, err
	}
	var rows []inserted
	for _, result := range results {
		row, _ := rowOf(result.Job, nil)
		rows = append(rows, inserted{row, result.UniqueSkippedAsDuplicate})
	}
	return rows, nil
}

type jobID struct {
	ID int64 `json:"id,string"`
}

type queueName struct {
	// Queue is a name, or * for all where River takes that.
	Queue string `json:"queue"`
}

// row is a job as River decodes it, under its columns' names.
type row struct {
	ID          int64                    `json:"id,string"`
	State       rivertype.JobState       `json:"state"`
	Attempt     int                      `json:"attempt"`
	MaxAttempts int                      `json:"max_attempts"`
	AttemptedAt *time.Time               `json:"attempted_at"`
	CreatedAt   time.Time                `json:"created_at"`
	FinalizedAt *time.Time               `json:"finalized_at"`
	ScheduledAt time.Time                `json:"scheduled_at"`
	Priority    int                      `json:"priority"`
	Args        json.RawMessage          `json:"args"`
	AttemptedBy []string                 `json:"attempted_by"`
	Errors      []rivertype.AttemptError `json:"errors"`
	Kind        string                   `json:"kind"`
	Metadata    json.RawMessage          `json:"metadata"`
	Queue       string                   `json:"queue"`
	Tags        []string                 `json:"tags"`
}

func rowOf(job *rivertype.JobRow, err error) (*row, error) {
	if err != nil {
		return nil, err
	}
	return &row{
		ID: job.ID, State: job.State, Attempt: job.Attempt, MaxAttempts: job.MaxAttempts,
		AttemptedAt: job.AttemptedAt, CreatedAt: job.CreatedAt, FinalizedAt: job.FinalizedAt, ScheduledAt: job.ScheduledAt,
		Priority: job.Priority, Args: job.EncodedArgs, AttemptedBy: job.AttemptedBy, Errors: job.Errors,
		Kind: job.Kind, Metadata: job.Metadata, Queue: job.Queue, Tags: job.Tags,
	}, nil
}

type queue struct {
	Name      string          `json:"name"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
	PausedAt  *time.Time      `json:"paused_at"`
	Metadata  json.RawMessage `json:"metadata"`
}

func queueOf(q *rivertype.Queue, err error) (*queue, error) {
	if err != nil {
		return nil, err
	}
	return &queue{Name: q.Name, CreatedAt: q.CreatedAt, UpdatedAt: q.UpdatedAt, PausedAt: q.PausedAt, Metadata: q.Metadata}, nil
}

type migrateOptions struct {
	// Version is the highest that is asked for; 0 stands for all that River knows.
	Version int `json:"version"`
}

func (p *program) migrator() (*rivermigrate.Migrator[pgx.Tx], error) {
	return rivermigrate.New(p.driver, &rivermigrate.Config{Logger: logger(), Schema: p.schema})
}

// migrateUp applies what is missing and answers which versions that was.
func (p *program) migrateUp(ctx context.Context, o migrateOptions) ([]int, error) {
	migrator, err := p.migrator()
	if err != nil {
		return nil, err
	}
	migrated, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: o.Version})
	if err != nil {
		return nil, err
	}
	versions := []int{}
	for _, version := range migrated.Versions {
		versions = append(versions, version.Version)
	}
	return versions, nil
}

func milliseconds(n int64) time.Duration {
	return time.Duration(n) * time.Millisecond
}
