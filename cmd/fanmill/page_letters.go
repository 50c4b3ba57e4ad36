package main

import (
	"context"
	"fmt"

	"fanmill/internal/screen"
	"fanmill/internal/web"
	"fanmill/pipeline"
	"fanmill/pipeline/dead"
)

// Letters implements web.Reader.
func (b *pageBackend) Letters(ctx context.Context) ([]web.Letter, error) {
	all, err := b.sys.node.Letters().List(ctx, "")
	if err != nil {
		return nil, err
	}
	out := []web.Letter{}
	for i := range all {
		out = append(out, letterView(&all[i]))
	}
	return out, nil
}

// Letter implements web.Reader.
func (b *pageBackend) Letter(ctx context.Context, key string) (*web.Letter, error) {
	info, err := b.letter(ctx, key)
	if err != nil {
		return nil, err
	}
	v := letterView(info)
	if !info.Bodiless {
		body, err := b.sys.node.Dead.Body(info.Key)
		if err != nil {
			return nil, fmt.Errorf("show request %s: %w", info.Key, err)
		}
		v.Body, v.More = screen.Beginning(body, info.Encoding)
		if err := body.Close(); err != nil {
			return nil, err
		}
	}
	return &v, nil
}

// letter finds a dead request by its whole key.
func (b *pageBackend) letter(ctx context.Context, key string) (*dead.Standing, error) {
	info, err := b.sys.node.Letters().Find(ctx, key)
	if err != nil || info.Key != key {
		return nil, web.None("there is no dead request %q any more", key)
	}
	return &info, nil
}

func letterView(l *dead.Standing) web.Letter {
	return web.Letter{Key: l.Key, JobID: l.Job, Run: l.Run, Destination: pipeline.WholeID(l.Destination), Where: l.Where, Connection: l.Connection, State: l.State, Error: l.Error,
		Status: l.Status, Answer: l.Answer, At: l.Time, Rows: l.Rows, Bytes: l.Length, SHA256: l.SHA256, Unknown: l.Unknown, Bodiless: l.Bodiless, Revision: l.State}
}
