package nats_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/internal/porttest"
	"fanmill/nats"
	"fanmill/pipeline"
)

// serveWith runs a server as its administrator has set it up.
func serveWith(t *testing.T, set func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}
	set(o)
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("server not ready")
	}
	return s
}

// reach opens the store, makes a row log and writes a key of 100 KB; the first of these that fails is the error.
func reach(t *testing.T, url string) error {
	t.Helper()
	c, err := nats.Open(within(t), nats.Options{Access: at(url)})
	if err != nil {
		return err
	}
	defer shut(t, c)
	l, err := c.RowLogs().Create(within(t), manifest("r", 16<<20), 1)
	if err != nil {
		return err
	}
	for n := range uint64(50) { // more than may be unacknowledged, where that is limited
		publish(t, l, rows("a", n+1, 1000))
	}
	r, err := l.Reader(within(t), "csv", 1, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	read(t, r, 50, 1<<20)
	_, err = c.Stores().Runs.Put(within(t), "k", make([]byte, 100<<10))
	return err
}

// What an administrator allows is enough, or the error says what to allow.
func TestLimitsOfTheServer(t *testing.T) {
	for want, set := range map[string]func(*server.Options){
		"":                      func(o *server.Options) { o.MaxPayload = 256 << 10 },
		"raise its max_payload": func(o *server.Options) { o.MaxPayload = 64 << 10 },
		"make stream FANMILL_DEAD: NATS has no sto": func(o *server.Options) { o.JetStreamMaxStore = 8 << 20 },
	} {
		said(t, want, reach(t, serveWith(t, set).ClientURL()))
	}
	for want, limit := range map[string]func(*server.JetStreamAccountLimits){
		"":                                  func(l *server.JetStreamAccountLimits) { l.MaxAckPending = 10 },
		"may have no more streams":          func(l *server.JetStreamAccountLimits) { l.MaxStreams = 7 },
		"demands max_bytes of every stream": func(l *server.JetStreamAccountLimits) { l.MaxBytesRequired = true },
		"no stream of this size":            func(l *server.JetStreamAccountLimits) { l.StoreMaxStreamBytes = 1 << 20 },
		"or lower --log-max-mb":             func(l *server.JetStreamAccountLimits) { l.MaxStore = 40 << 20 },
	} {
		s := serveWith(t, func(*server.Options) {})
		l := server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1}
		limit(&l)
		if err := s.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": l}); err != nil {
			t.Fatal(err)
		}
		said(t, want, reach(t, s.ClientURL()))
	}
}

func said(t *testing.T, want string, err error) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("want %q: %v", want, err)
	}
}

// as is the store as an administrator sees it.
func as(t *testing.T, s *server.Server) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Streams and buckets that somebody made before fanmill did, or an older version, are brought to what they must be,
// or refused with what to do. One that loses what it keeps would lose runs.
func TestStreamsMadeByOthers(t *testing.T) {
	stream := func(c jetstream.StreamConfig) func(context.Context, jetstream.JetStream) error {
		return func(ctx context.Context, js jetstream.JetStream) error { _, err := js.CreateStream(ctx, c); return err }
	}
	bucket := func(c jetstream.KeyValueConfig) func(context.Context, jetstream.JetStream) error {
		c.Bucket = "fanmill_runs"
		return func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateKeyValue(ctx, c)
			return err
		}
	}
	for name, c := range map[string]struct {
		want string
		make func(context.Context, jetstream.JetStream) error
	}{
		"all of fanmill's subjects": {"stream AUDIT keeps fanmill.jobs", stream(jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"fanmill.>"}})},
		"subjects of row logs":      {"stream AUDIT takes the subjects", stream(jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"fanmill.rows.>"}})},
		"retention":                 {"nats stream rm FANMILL_JOBS", stream(jetstream.StreamConfig{Name: "FANMILL_JOBS", Subjects: []string{"fanmill.jobs.>"}})},
		"in memory": {"nats stream rm FANMILL_TRIGGERS", stream(jetstream.StreamConfig{Name: "FANMILL_TRIGGERS", Subjects: []string{"fanmill.jobs.run.*"},
			Retention: jetstream.WorkQueuePolicy, Storage: jetstream.MemoryStorage})},
		"without acknowledgements": {"", stream(jetstream.StreamConfig{Name: "FANMILL_EVENTS", Subjects: []string{"fanmill.events.>"}, NoAck: true})},
		"history":                  {"", bucket(jetstream.KeyValueConfig{History: 5})},
		"bucket in memory":         {"nats stream rm KV_fanmill_runs", bucket(jetstream.KeyValueConfig{Storage: jetstream.MemoryStorage})},
		"expiry":                   {"nats stream edit KV_fanmill_runs --max-age=-1", bucket(jetstream.KeyValueConfig{TTL: time.Hour})},
		"small":                    {"the stream is full", bucket(jetstream.KeyValueConfig{MaxBytes: 50 << 10})},
		"small values":             {"max-msg-size", bucket(jetstream.KeyValueConfig{MaxValueSize: 10 << 10})},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveWith(t, func(*server.Options) {})
			if err := c.make(within(t), as(t, s)); err != nil {
				t.Fatal(err)
			}
			said(t, c.want, reach(t, s.ClientURL()))
			if c.want != "" {
				return
			}
			conn, err := nats.Open(within(t), nats.Options{Access: at(s.ClientURL())})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, conn)
			if err := conn.Publisher().Publish(pipeline.TopicEvent("job", "r", "started"), message.NewMessage("e", nil)); err != nil {
				t.Errorf("an event: %v", err)
			}
			kv := conn.Stores().Runs
			for _, v := range []string{"1", "2", "3"} {
				if _, err := kv.Put(within(t), "h", []byte(v)); err != nil {
					t.Fatal(err)
				}
			}
			ch, err := kv.Watch(within(t), "h")
			if err != nil {
				t.Fatal(err)
			}
			porttest.Expect(t, ch, "h=3", "")
			if err := kv.RemoveAll(within(t), "h"); err != nil {
				t.Fatal(err)
			}
			if keys, err := kv.Keys(within(t), "h"); err != nil || len(keys) > 0 {
				t.Errorf("left are %q, %v", keys, err)
			}
		})
	}
}
