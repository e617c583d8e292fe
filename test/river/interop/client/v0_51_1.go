//go:build !river_v0_26_0

package main

import (
	"context"
	"errors"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivermigrate"
)

// configure sets what only newer clients can be told.
func configure(config *river.Config, o startOptions) error {
	config.FetchOnlyKnownKinds = o.OnlyKnownKinds
	return nil
}

func (p *program) migrateValidate(ctx context.Context, o migrateOptions) (*rivermigrate.ValidateResult, error) {
	migrator, err := p.migrator()
	if err != nil {
		return nil, err
	}
	return migrator.Validate(ctx, &rivermigrate.ValidateOpts{TargetVersion: o.Version})
}

// steps are two resumable ones: the first counts to 2 and keeps its count, the second fails with the text if there is
// one. A later attempt goes on where this one ended.
func steps(ctx context.Context, text string) error {
	river.ResumableStep(ctx, "first", nil, func(context.Context) error { return nil })
	river.ResumableStepCursor(ctx, "second", nil, func(ctx context.Context, done int) error {
		if err := river.ResumableSetCursor(ctx, done+2); err != nil {
			return err
		}
		if text != "" {
			return errors.New(text)
		}
		return river.RecordOutput(ctx, map[string]int{"resumedAt": done})
	})
	return nil
}
