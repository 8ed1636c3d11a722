package upkeep

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/seal"
)

// Reseal is relay.Reseal.
func Reseal(ctx context.Context, cfg *config.Config, log zerolog.Logger) (changed int, err error) {
	keys, err := seal.New(cfg.Secrets)
	if err != nil {
		return 0, err
	}
	if keys.Empty() {
		return 0, seal.ErrNoKey
	}
	led, err := ledger.Open(ctx, ledger.Options{URL: cfg.Database.URL, AppName: "reseal", Logger: log})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, led.Close(context.WithoutCancel(ctx))) }()
	if _, err := led.Check(ctx, cfg.Outbox.Mapping); err != nil {
		return 0, err
	}
	return led.Reseal(ctx, func(row *ledger.EndpointRow) (bool, error) { return reseal(keys, row) })
}

func reseal(keys *seal.Keyring, row *ledger.EndpointRow) (changed bool, err error) {
	inClear := row.Clear()
	if keys.Current(row.Secrets) && !inClear {
		return false, nil
	}
	plain, err := keys.Open(row.Secrets, []byte(row.ID))
	if err != nil {
		return false, err
	}
	if inClear {
		sealed, err := ledger.DecodeSealed(row, plain)
		if err != nil {
			return false, err
		}
		if plain, err = ledger.EncodeSealed(sealed); err != nil {
			return false, err
		}
		if err := row.HideHeaders(); err != nil {
			return false, err
		}
	}
	row.Secrets, err = keys.Seal(plain, []byte(row.ID))
	return err == nil, err
}
