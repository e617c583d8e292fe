//go:build river_v0_26_0

package main

import (
	"context"
	"errors"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivermigrate"
)

func configure(_ *river.Config, o startOptions) error {
	if o.OnlyKnownKinds {
		return errors.New("this version of River has no such option")
	}
	return nil
}

// migrateValidate validates all versions that this River knows, 1 to 6.
func (p *program) migrateValidate(ctx context.Context, _ migrateOptions) (*rivermigrate.ValidateResult, error) {
	migrator, err := p.migrator()
	if err != nil {
		return nil, err
	}
	return migrator.Validate(ctx)
}

func steps(context.Context, string) error {
	return errors.New("this version of River has no resumable steps")
}
