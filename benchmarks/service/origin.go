package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/workload"
	_ "modernc.org/sqlite" // the driver
)

// A row is what the service shows.
type row struct {
	ID      uint64 `json:"id"`
	Name    string `json:"name"`
	Price   int64  `json:"price_cents"`
	Details string `json:"details"`
}

const rows = 10_000 // with the ids 0 to 9,999

// createDatabase writes a database of all rows into a new file.
func createDatabase(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it does nothing after a commit
	const table = `CREATE TABLE rows
		(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, details TEXT NOT NULL)`
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO rows VALUES (?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for id := range uint64(rows) {
		r := rowOf(id)
		if _, err := insert.ExecContext(ctx, r.ID, r.Name, r.Price, r.Details); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// rowOf returns the row that the database has under an id.
func rowOf(id uint64) row {
	return row{
		ID: id, Name: fmt.Sprintf("article %d", id), Price: int64(id*37%10_000) + 1,
		Details: strings.Repeat(fmt.Sprintf("detail %d; ", id), 20),
	}
}

// An origin loads rows from the database. Some loads are slow and some fail.
type origin struct {
	faults faults
	db     *sql.DB
	query  *sql.Stmt
	loads  atomic.Uint64
}

// faults says which loads go wrong. The seed and a load's number decide.
type faults struct {
	Seed      uint64        `json:"seed"`
	Slow      time.Duration `json:"slow_ns"` // how much longer a slow load takes
	SlowShare float64       `json:"slow_share"`
	FailShare float64       `json:"fail_share"`
}

// of returns what happens to the load with a number.
func (f faults) of(number uint64) (slow, fails bool) {
	draw := float64(workload.Hash(f.Seed, number)>>11) / (1 << 53)
	return draw < f.SlowShare, draw >= 1-f.FailShare
}

// connections bounds the queries that run at a time. A query takes processor time and no more, so
// further connections would not make any of them faster.
const connections = 8

func openOrigin(ctx context.Context, path string, f faults) (*origin, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?mode=ro")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	query, err := db.PrepareContext(ctx, `SELECT name, price, details FROM rows WHERE id = ?`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &origin{faults: f, db: db, query: query}, nil
}

func (o *origin) close() error { return errors.Join(o.query.Close(), o.db.Close()) }

var errOrigin = errors.New("the load failed, as one in many does")

// all yields each row. It counts as no load.
func (o *origin) all(ctx context.Context, yield func(*row)) error {
	found, err := o.db.QueryContext(ctx, `SELECT id, name, price, details FROM rows`)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		r := &row{}
		if err := found.Scan(&r.ID, &r.Name, &r.Price, &r.Details); err != nil {
			return err
		}
		yield(r)
	}
	return found.Err()
}

// load returns the row of an id. A slow load waits before its query, and so holds no connection
// meanwhile.
func (o *origin) load(ctx context.Context, id uint64) (*row, error) {
	slow, fails := o.faults.of(o.loads.Add(1))
	if fails {
		return nil, errOrigin
	}
	if slow {
		if err := pace.Sleep(ctx, o.faults.Slow); err != nil {
			return nil, err
		}
	}
	r := &row{ID: id}
	err := o.query.QueryRowContext(ctx, id).Scan(&r.Name, &r.Price, &r.Details)
	if err != nil {
		return nil, fmt.Errorf("row %d: %w", id, err)
	}
	return r, nil
}
