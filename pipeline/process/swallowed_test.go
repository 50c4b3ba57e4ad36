package process_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// A process gets commands, begins none, and is gone. The server would keep them for it for half a minute: who
// coordinates publishes them again as soon as it sees that, and others carry them out.
func TestCommandsOfAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	ids := branches(w, 4, of(20, 100))
	w.deliverTo("x")
	coordinator, _ := w.worker(pipeline.RoleCoordinator)
	sink, _ := w.worker(pipeline.RoleSink)
	second, n := w.worker(pipeline.RoleQuery)
	gone := w.another()
	if _, err := checkpoint.CreateDocument(t.Context(), w.node.Stores.Runs, checkpoint.ProcessKey(gone.Owner.Token),
		checkpoint.ProcessRecord{Owner: gone.Owner, Roles: []string{pipeline.RoleQuery}, Slots: 2}); err != nil {
		t.Fatal(err)
	}
	got, ended := make(chan struct{}, len(ids)), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		ended <- w.conn.Bus().Serve(ctx, slog.New(slog.DiscardHandler), pipeline.Handler{Topic: pipeline.TopicQueryCommands(pipeline.AnyPool),
			Durable: pipeline.DurableQueries(pipeline.AnyPool), Parallel: len(ids), Handle: func(ctx context.Context, _ *pipeline.Message) error {
				got <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	w.serveBy(coordinator)
	w.serveBy(sink)
	run := w.ask(pipeline.TopicTrigger("job"), "one", "{}").Run
	for range ids {
		<-got
	}
	w.serveBy(second)
	began := time.Now()
	w.condemn(gone)
	w.until(pipeline.EventEnded, run)
	w.exact("x", ids...)
	if took := time.Since(began); n.Load() != int32(len(ids)) || took > 25*time.Second {
		t.Errorf("%d of %d connections were asked, within %s", n.Load(), len(ids), took)
	}
}
