package main

import (
	"context"
	"errors"
	"log/slog"

	"fanmill/pipeline/process"

	"fanmill/checkpoint"
	"fanmill/nats"
)

// bus opens the store for the length of f, in a process that carries out no runs.
func (s *settings) bus(ctx context.Context, log *slog.Logger, f func(*nats.Conn) error) error {
	if !s.external() {
		if err := s.needData(); err != nil {
			return err
		}
	}
	access, err := s.access(log)
	if err != nil {
		return err
	}
	conn, err := nats.Open(ctx, nats.Options{DataDir: s.env.Data, Access: access, Guest: true, Log: log})
	if err != nil {
		return err
	}
	err = f(conn)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	if cerr := conn.Close(ctx); cerr != nil {
		log.Warn("the store was not closed in order", "error", cerr)
	}
	return err
}

// needData refuses to work without a data folder, where the user has none and nobody named one: a service may have no
// home.
func (s *settings) needData() error {
	if s.env.Data != "" {
		return nil
	}
	return &exitError{exitBadJob, errors.New("this user has no folder for application data; name a folder for fanmill's state with --data or FANMILL_DATA")}
}

// place names the store for people.
func (s *settings) place() string {
	if s.external() {
		return "the NATS server that --nats, --nats-context, NATS_URL or NATS_CONTEXT names"
	}
	return s.env.Data
}

// readingNode is a node that only looks.
func readingNode(conn *nats.Conn) *process.Node {
	stores := conn.Stores()
	return &process.Node{Stores: stores, Records: checkpoint.NewRecords(stores.Checkpoints), RowLogs: conn.RowLogs(), Bus: conn.Bus()}
}
