package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/riverqueue/river"
)

// args are a job's, as they are; the kind is any.
type args struct {
	kind string
	raw  json.RawMessage
}

func (a args) Kind() string { return a.kind }

func (a args) MarshalJSON() ([]byte, error) {
	if a.raw == nil {
		return []byte("{}"), nil
	}
	return a.raw, nil
}

func (a *args) UnmarshalJSON(raw []byte) error {
	a.raw = append(a.raw, raw...)
	return nil
}

// script is the part of a job's args that says what its attempts do here: the first attempt the first act, and so on;
// after the last one they succeed.
type script struct {
	Attempts []act `json:"attempts"`
	// Silent attempts are not told of, as they would be too many.
	Silent bool `json:"silent"`
}

type act struct {
	// Do is fail, panic, cancel, snooze, sleep, wait, steps or, when empty, succeed.
	Do string `json:"do"`
	// Text is what fails, panics or cancels.
	Text string `json:"text"`
	// Ms is how long to snooze or to sleep.
	Ms int64 `json:"ms"`
}

type worker struct {
	river.WorkerDefaults[args]
	program *program
}

func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	var s script
	if err := json.Unmarshal(job.Args.raw, &s); err != nil {
		return err
	}
	var a act
	if n := job.Attempt - 1; n < len(s.Attempts) {
		a = s.Attempts[n]
	}
	if s.Silent {
		return a.run(ctx)
	}
	outcome := "panic"
	w.program.say(event{Event: "attempt", Job: job.ID, Attempt: job.Attempt})
	defer func() { w.program.say(event{Event: "end", Job: job.ID, Attempt: job.Attempt, Outcome: outcome}) }()
	err := a.run(ctx)
	outcome = "success"
	if err != nil {
		outcome = err.Error()
	}
	return err
}

func (a act) run(ctx context.Context) error {
	switch a.Do {
	case "":
		return nil
	case "fail":
		return errors.New(a.Text)
	case "panic":
		panic(a.Text)
	case "cancel":
		return river.JobCancel(errors.New(a.Text))
	case "snooze":
		return river.JobSnooze(milliseconds(a.Ms))
	case "sleep":
		select {
		case <-time.After(milliseconds(a.Ms)):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case "wait":
		<-ctx.Done()
		return context.Cause(ctx)
	case "steps":
		return steps(ctx, a.Text)
	default:
		return errors.New("no such act: " + a.Do)
	}
}
