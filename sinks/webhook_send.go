package sinks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fanmill/pipeline"
	"fanmill/sinks/post"
)

// Release sends requests, side by side. The trouble that says most of the receiver is returned: of the target before
// that of the moment.
func (s *webhookSink) Release(ctx context.Context, next []pipeline.WireRequest, _ *pipeline.Report, _ bool) (out pipeline.Released, err error) {
	if len(next) == 0 {
		return out, nil
	}
	if s.client == nil {
		if err := s.connect(); err != nil {
			return out, &pipeline.Trouble{Scope: pipeline.OfTarget, Err: err}
		}
	}
	var mu sync.Mutex
	var worst *pipeline.Trouble
	var other error
	var work sync.WaitGroup
	for _, r := range next {
		work.Go(func() {
			receipt, err := s.send(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			var trouble *pipeline.Trouble
			switch {
			case err == nil:
				out.Receipts = append(out.Receipts, pipeline.Receipt{Number: r.Number, Status: receipt.Status, ID: receipt.ID, At: receipt.At.UTC(), Attempts: receipt.Wire, Notes: receipt.Notes})
			case !errors.As(err, &trouble):
				other = err
			case trouble.Scope == pipeline.OfRequest:
				out.Letters = append(out.Letters, pipeline.Letter{Number: r.Number, Status: receipt.Status, Error: err.Error(), Answer: string(receipt.Answer), At: time.Now().UTC()})
			default:
				if f := post.FailureOf(err); f != nil && !f.MayHaveArrived {
					out.Unsent = append(out.Unsent, r.Number)
				}
				if worst == nil || trouble.Scope > worst.Scope || trouble.Scope == worst.Scope && trouble.After > worst.After {
					worst = trouble
				}
			}
		})
	}
	work.Wait()
	switch {
	case ctx.Err() != nil:
		return out, context.Cause(ctx)
	case other != nil:
		return out, other
	case worst != nil:
		if worst.Scope == pipeline.OfTarget { // a secret may have another value by now
			err = s.Close()
		}
		return out, errors.Join(worst, err)
	}
	return out, nil
}

// connect makes the client, with the secrets as they are now.
func (s *webhookSink) connect() error {
	o, err := s.decode()
	if err != nil {
		return err
	}
	if s.client, err = post.New(o.client(s.webhook)); err != nil {
		return err
	}
	for _, note := range s.client.Notes() {
		s.table.log.Info(note)
	}
	return nil
}

// send makes one attempt.
func (s *webhookSink) send(ctx context.Context, r pipeline.WireRequest) (receipt post.Receipt, err error) {
	f, err := os.Open(filepath.Join(s.folder, r.File))
	if err != nil {
		return receipt, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	req := post.Request{Key: r.Key, Body: f, Offset: r.Offset, Length: r.Length, ContentType: r.Type, ContentEncoding: r.Encoding, Sequence: r.Number}
	if p := s.table.dest.Partition; p != nil && p.Number > 0 {
		req.Partition, req.Partitions = p.Number, p.Count
	}
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil || len(sum) != len(req.SHA256) {
		return receipt, pipeline.Permanent(fmt.Errorf("request %d has the checksum %q", r.Number, r.SHA256))
	}
	copy(req.SHA256[:], sum)
	receipt, err = s.client.Send(ctx, req)
	if errors.Is(err, post.ErrDamaged) {
		err = &pipeline.Trouble{Scope: pipeline.OfRequest, Err: err}
	}
	return receipt, err
}
