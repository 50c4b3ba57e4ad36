package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

const (
	rowsPrefix   = "fanmill.rows."
	streamPrefix = "FANMILL_ROWS_"

	// The server's memory of message ids: a publisher gives up on an answer long before.
	duplicateWindow = 2 * time.Minute
)

// rowLogs makes and finds the streams of runs, one for each generation.
type rowLogs struct{ c *Conn }

var _ pipeline.RowLogs = rowLogs{}

// RowLogs are the row logs of this store.
func (c *Conn) RowLogs() pipeline.RowLogs { return rowLogs{c} }

func logStream(run string, generation int) string {
	return streamPrefix + pipeline.Token(run) + "_" + strconv.Itoa(generation)
}

// rowsOf is every subject of a run's row log.
func rowsOf(run string) string { return rowsPrefix + pipeline.Token(run) + ".>" }

// Create makes the stream, deleting that of an earlier generation first: both would take the same subjects. It refuses
// to make a generation earlier than the one that exists: whoever asks for that has been overtaken.
func (r rowLogs) Create(ctx context.Context, m *pipeline.Manifest, generation int) (pipeline.RowLog, error) {
	name := logStream(m.Run, generation)
	if m.LogMaxBytes <= 0 {
		return nil, pipeline.Permanent(fmt.Errorf("make row log %s: logMaxBytes is %d and must be positive", name, m.LogMaxBytes))
	}
	cfg := jetstream.StreamConfig{
		Name:        name,
		Description: "fanmill: rows of run " + m.Run + " of job " + m.JobName,
		Subjects:    []string{rowsOf(m.Run)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Storage:     jetstream.FileStorage,
		MaxBytes:    m.LogMaxBytes,
		Duplicates:  duplicateWindow,
		Metadata: map[string]string{"fanmill.job": m.JobID, "fanmill.jobName": m.JobName, "fanmill.run": m.Run,
			"fanmill.generation": strconv.Itoa(generation)},
	}
	var l *rowLog
	err := r.c.call(ctx, "make row log "+name, func(ctx context.Context) error {
		if err := r.supersede(ctx, m.Run, generation); err != nil {
			return err
		}
		s, err := r.c.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = r.c.replicated(func(n int) error {
				cfg.Replicas = n
				// With replicas a direct read may be answered by one that lags, and a finished connection asked again.
				cfg.AllowDirect = n == 1
				var err error
				s, err = r.c.js.CreateStream(ctx, cfg)
				if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
					s, err = r.c.js.Stream(ctx, name)
				}
				return err
			})
		}
		if err == nil {
			l = r.c.rowLog(m.Run, generation, s)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// present finds the stream that takes a run's subjects, of which there is one at a time, and its generation; "" if
// there is none.
func (r rowLogs) present(ctx context.Context, run string) (name string, generation int, err error) {
	name, err = r.c.js.StreamNameBySubject(ctx, rowsOf(run))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	generation, err = strconv.Atoi(strings.TrimPrefix(name, strings.TrimSuffix(logStream(run, 0), "0")))
	if err != nil {
		return name, 0, pipeline.Permanent(fmt.Errorf("stream %s takes the subjects of run %s and is not fanmill's: remove it", name, run))
	}
	return name, generation, nil
}

// remove deletes a stream that may be gone.
func (r rowLogs) remove(ctx context.Context, name string) error {
	if err := r.c.js.DeleteStream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return nil
}

// supersede deletes the stream of an earlier generation.
func (r rowLogs) supersede(ctx context.Context, run string, generation int) error {
	other, g, err := r.present(ctx, run)
	switch {
	case err != nil || other == "" || g == generation:
		return err
	case g > generation:
		return pipeline.Permanent(fmt.Errorf("run %s has row log generation %d already: %w", run, g, pipeline.ErrFenced))
	}
	return r.remove(ctx, other)
}

// Open finds a row log.
func (r rowLogs) Open(ctx context.Context, run string, generation int) (pipeline.RowLog, error) {
	var l *rowLog
	what := "open row log " + logStream(run, generation)
	err := r.c.call(ctx, what, func(ctx context.Context) error {
		s, err := r.c.js.Stream(ctx, logStream(run, generation))
		if err == nil {
			l = r.c.rowLog(run, generation, s)
		} else if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, fmt.Errorf("%s: %w", what, pipeline.ErrNoLog)
	}
	return l, nil
}

// Newest finds the generation that there is.
func (r rowLogs) Newest(ctx context.Context, run string) (generation int, err error) {
	err = r.c.call(ctx, "look for row logs of run "+run, func(ctx context.Context) (err error) {
		_, generation, err = r.present(ctx, run)
		return err
	})
	return generation, err
}

// Delete removes a row log, or that of an earlier generation which should have been.
func (r rowLogs) Delete(ctx context.Context, run string, generation int) error {
	name := logStream(run, generation)
	err := r.c.call(ctx, "delete row log "+name, func(ctx context.Context) error {
		earlier, g, err := r.present(ctx, run)
		if err != nil || earlier == "" || g > generation {
			return err
		}
		name = earlier
		return r.remove(ctx, earlier)
	})
	if err == nil {
		r.c.forget(name)
	}
	return err
}

// rowLog is what is known of a stream that exists.
func (c *Conn) rowLog(run string, generation int, s jetstream.Stream) *rowLog {
	info := s.CachedInfo()
	l := &rowLog{c: c, run: run, room: c.roomOf(info.Config.Name), maxBytes: info.Config.MaxBytes,
		id: pipeline.LogID{Stream: info.Config.Name, Generation: generation, Created: info.Created.UTC()}}
	l.maxBody = int(min(c.nc.MaxPayload()-headerRoom, l.maxBytes/2-headerRoom))
	l.maxBody = max(l.maxBody, 1)
	return l
}
