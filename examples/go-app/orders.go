package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tailpost/tailpost/outbox"
)

const maxBody = 1 << 20

// order is what customers place. It is the payload of the event about it, too.
type order struct {
	ID       int64   `json:"id"`
	Customer string  `json:"customer"`
	Total    float64 `json:"total"`
}

// errRefused says that an order breaks a rule of the database.
var errRefused = errors.New("order refused")

func createTable(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS orders (
		    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		    customer text             NOT NULL,
		    total    double precision NOT NULL,
		    CONSTRAINT total_positive CHECK (total > 0)
		)`)
	if err != nil {
		return fmt.Errorf("create table orders: %w", err)
	}
	return nil
}

// place stores an order together with the event about it. If anything fails, neither exists.
func place(ctx context.Context, pool *pgxpool.Pool, o order) (order, error) {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// The number is drawn first, so that the event can be written before the order: even then,
		// when the order is refused, nobody hears of it.
		err := tx.QueryRow(ctx, "SELECT nextval(pg_get_serial_sequence('orders', 'id'))").Scan(&o.ID)
		if err != nil {
			return fmt.Errorf("draw a number: %w", err)
		}
		event, err := outbox.NewEvent("order.created", o)
		if err != nil {
			return err
		}
		event.Key = strconv.FormatInt(o.ID, 10)
		if _, err := outbox.Insert(ctx, tx, event); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO orders (id, customer, total)
			OVERRIDING SYSTEM VALUE
			VALUES ($1, $2, $3)`, o.ID, o.Customer, o.Total)
		return err
	})
	const checkViolation = "23514"
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == checkViolation {
		return order{}, errRefused
	}
	return o, err
}

func routes(pool *pgxpool.Pool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&o); err != nil {
			http.Error(w, "want an order as JSON", http.StatusBadRequest)
			return
		}
		placed, err := place(r.Context(), pool, o)
		switch {
		case errors.Is(err, errRefused):
			http.Error(w, "an order's total is positive", http.StatusUnprocessableEntity)
		case err != nil:
			http.Error(w, "order not placed", http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(placed) // the customer may be gone; the order stands
		}
	})
	return mux
}
