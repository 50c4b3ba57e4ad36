package nats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// The streams and buckets. Those of row logs are made per run, see rowlogs.go.
const (
	streamJobs     = "FANMILL_JOBS"
	streamWork     = "FANMILL_WORK"
	streamTriggers = "FANMILL_TRIGGERS"
	streamEvents   = "FANMILL_EVENTS"
	streamDead     = "FANMILL_DEAD"
	streamAlarms   = "FANMILL_SCHEDULES" // made where it is needed: older servers cannot

	bucketJobs        = "fanmill_jobs"
	bucketRuns        = "fanmill_runs"
	bucketCheckpoints = "fanmill_checkpoints"

	eventAge  = 7 * 24 * time.Hour
	deadAge   = 30 * 24 * time.Hour
	deadBytes = 32 << 20 // reserved; the oldest go first
	// How long the server drops triggers of a Nats-Msg-Id that it has seen, without a word to anybody: as short as it
	// may be. Whoever serves knows which ids have had their runs, and one that was refused may be right the next
	// time.
	triggerWindow = 100 * time.Millisecond
)

// fixedStreams are those of every store, in the order they are made.
func fixedStreams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{{
		Name:        streamJobs,
		Description: "fanmill: triggers of fanmill run; each is gone when its process has ended",
		Subjects:    []string{pipeline.TopicOwnTriggers},
		Retention:   jetstream.WorkQueuePolicy,
	}, {
		Name:        streamWork,
		Description: "fanmill: commands to those who ask connections and write destinations; each is gone once it is claimed",
		Subjects:    []string{pipeline.TopicCommands},
		Retention:   jetstream.WorkQueuePolicy,
	}, {
		Name:        streamTriggers,
		Description: "fanmill: triggers, fanmill.jobs.run.<job>; each waits until its run has ended",
		Subjects:    []string{pipeline.TopicTriggers, pipeline.TopicInlines},
		Retention:   jetstream.WorkQueuePolicy,
		Duplicates:  triggerWindow,
		// A stream that acknowledges is always the first to answer a request, with its own bookkeeping. Here whoever
		// serves answers.
		NoAck: true,
	}, {
		Name:        streamEvents,
		Description: "fanmill: what happened, fanmill.events.<job>.<run>.<kind>, for 7 days",
		Subjects:    []string{"fanmill.events.>"},
		MaxAge:      eventAge,
	}, {
		Name:        streamDead,
		Description: "fanmill: messages that could not be handled, for 30 days",
		Subjects:    []string{"fanmill.dead.>"},
		MaxAge:      deadAge,
		MaxBytes:    deadBytes,
	}}
}

// streamOf is the stream that keeps a topic.
func streamOf(topic string) (jetstream.StreamConfig, bool) {
	for _, s := range append(fixedStreams(), alarmStream()) {
		if slices.ContainsFunc(s.Subjects, func(pattern string) bool { return covers(pattern, topic) }) {
			return s, true
		}
	}
	return jetstream.StreamConfig{}, false
}

// errNoStream is the answer to a topic of no stream.
func errNoStream(topic string) error {
	return pipeline.Permanent(fmt.Errorf("topic %q is in no stream of fanmill's", topic))
}

// covers reports whether every subject that topic stands for matches pattern. Both may have wildcards: * is one
// token, a final > one or more.
func covers(pattern, topic string) bool {
	for {
		p, patterns, more := strings.Cut(pattern, ".")
		t, topics, rest := strings.Cut(topic, ".")
		switch {
		case t == "":
			return false
		case p == ">":
			return true
		case t == ">" || p != "*" && p != t:
			return false
		case !more || !rest:
			return more == rest
		}
		pattern, topic = patterns, topics
	}
}

// ensureStreams makes what is missing. What is there only gains: of a stream that a later version has set nothing is
// touched, of all others the settings that fanmill relies on.
func (c *Conn) ensureStreams(ctx context.Context) error {
	runs, err := c.bucket(ctx, bucketRuns, "fanmill: runs, their manifests and the state of each connection")
	if err != nil {
		return err
	}
	jobs, err := c.bucket(ctx, bucketJobs, "fanmill: <job> as last served or run, secrets as references; <job>.definition of a job that was put here")
	if err != nil {
		return err
	}
	checkpoints, err := c.bucket(ctx, bucketCheckpoints, "fanmill: <job> is its progress; <run>.<destination> what a destination has committed")
	if err != nil {
		return err
	}
	c.stores = pipeline.Stores{Jobs: jobs, Runs: runs, Checkpoints: checkpoints}
	for _, cfg := range fixedStreams() {
		if err := c.ensureStream(ctx, cfg); err != nil {
			return err
		}
	}
	if c.host == nil {
		return c.identify(ctx, runs)
	}
	return nil
}

// identify names an external store: it is as old as the bucket of its runs, and no older or newer one is the same
// store.
func (c *Conn) identify(ctx context.Context, runs *bucket) error {
	return c.call(ctx, "identify the store", func(ctx context.Context) error {
		kv, err := runs.opened(ctx)
		if err != nil {
			return err
		}
		st, err := kv.Status(ctx)
		if err != nil {
			return err
		}
		status, ok := st.(*jetstream.KeyValueBucketStatus)
		if !ok {
			return fmt.Errorf("status of bucket %s is a %T", bucketRuns, st)
		}
		c.storeID = "nats-" + strconv.FormatInt(status.StreamInfo().Created.UnixNano(), 36)
		return nil
	})
}

// lookAt is for a guest, who needs no permission for what it does not read.
func (c *Conn) lookAt() {
	at := func(name string) *bucket { return &bucket{c: c, name: name} }
	c.stores = pipeline.Stores{Jobs: at(bucketJobs), Runs: at(bucketRuns), Checkpoints: at(bucketCheckpoints)}
}

func (c *Conn) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	return c.call(ctx, "make stream "+cfg.Name, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return c.replicated(func(n int) error {
				cfg.Replicas, cfg.Metadata = n, c.lacking(n)
				if cfg.Metadata == nil {
					cfg.Metadata = map[string]string{}
				}
				cfg.Metadata[metaSettings] = strconv.Itoa(settingsVersion)
				_, err := c.js.CreateStream(ctx, cfg)
				switch {
				case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
					err = nil // another process was faster
				case apiCode(err) == codeOverlap:
					err = c.overlap(ctx, cfg.Subjects, err)
				}
				return err
			})
		}
		if err != nil {
			return err
		}
		has := s.CachedInfo().Config
		if has.Retention != cfg.Retention {
			return pipeline.Permanent(fmt.Errorf("it exists with another retention (%s); move it away: nats stream rm %s", has.Retention, cfg.Name))
		}
		if err := durable(has); err != nil {
			return err
		}
		if version, _ := strconv.Atoi(has.Metadata[metaSettings]); version > settingsVersion {
			return c.raise(ctx, has)
		}
		want := has
		want.Description, want.MaxAge = cfg.Description, cfg.MaxAge
		want.Subjects = gained(has.Subjects, cfg.Subjects)
		want.Metadata = maps.Clone(has.Metadata)
		if want.Metadata == nil {
			want.Metadata = map[string]string{}
		}
		want.Metadata[metaSettings] = strconv.Itoa(settingsVersion)
		if cfg.Duplicates > 0 {
			want.Duplicates = cfg.Duplicates
		}
		if cfg.MaxBytes > 0 {
			want.MaxBytes = cfg.MaxBytes
		}
		want.NoAck = cfg.NoAck
		if !reflect.DeepEqual(want, has) {
			if _, err = c.js.UpdateStream(ctx, want); err != nil {
				return err
			}
		}
		return c.raise(ctx, want)
	})
}

// metaSettings is the version of the settings that a stream was given; settingsVersion is this program's. Programs of
// two versions that share a store would else undo each other's at every start.
const (
	metaSettings    = "fanmill.settings"
	settingsVersion = 1
)

// gained are the subjects of a stream with those that it lacks. None is taken away that this program does not know:
// what another one publishes there would go nowhere.
func gained(has, want []string) []string {
	coveredBy := func(patterns []string) func(string) bool {
		return func(subject string) bool {
			return slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, subject) })
		}
	}
	lacking := slices.DeleteFunc(slices.Clone(want), coveredBy(has))
	return append(slices.DeleteFunc(slices.Clone(has), coveredBy(lacking)), lacking...)
}

// remake makes a stream of messages anew that somebody has deleted, in a store that is the one that was opened. nil
// means that it is there.
func (c *Conn) remake(ctx context.Context, name string) error {
	if _, err := c.js.Stream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if err := c.same(ctx); err != nil {
		return err
	}
	if c.worker() {
		return pipeline.Transient(fmt.Errorf("stream %s is gone, another program has deleted it; a coordinator makes it anew", name))
	}
	for _, cfg := range append(fixedStreams(), alarmStream()) {
		if cfg.Name != name {
			continue
		}
		c.log.Warn(fmt.Sprintf("stream %s is gone, another program has deleted it: it is made anew, without what it held", name))
		if err := c.ensureStream(ctx, cfg); err != nil {
			return err
		}
	}
	return nil
}

// overlap names the stream that keeps somebody else's subjects.
func (c *Conn) overlap(ctx context.Context, subjects []string, err error) error {
	for _, subject := range subjects {
		if other, lookErr := c.js.StreamNameBySubject(ctx, subject); lookErr == nil {
			return pipeline.Permanent(fmt.Errorf("stream %s keeps %s, too, which is fanmill's: take that from it: %w", other, subject, err))
		}
	}
	return err
}

// durable reports how a stream that somebody made would lose what it keeps.
func durable(has jetstream.StreamConfig) error {
	if has.Storage != jetstream.FileStorage {
		return pipeline.Permanent(fmt.Errorf("it exists and is kept in memory only, where a restart loses it; move it away: nats stream rm %s", has.Name))
	}
	return nil
}

// replicated calls create with the number of replicas; if the cluster has too few nodes for three at the moment, with
// one.
func (c *Conn) replicated(create func(int) error) error {
	err := create(c.replicas)
	if code := apiCode(err); c.replicas > 1 && c.opts.Replicas == 0 && (code == codeNoPeers || code == codeNoReplicas) {
		if err = create(1); err == nil {
			c.log.Warn("NATS has too few nodes for three copies at the moment: what was just made is on one node only, and waits for that should it be lost; the next start tries again")
		}
	}
	return err
}

// metaLacking marks a stream that was made with one copy because the cluster had too few nodes for as many as this.
// What somebody made with one copy has no such mark, and is left so.
const metaLacking = "fanmill.replicas"

// lacking is the mark of a stream that is made with n copies.
func (c *Conn) lacking(n int) map[string]string {
	if n >= c.replicas {
		return nil
	}
	return map[string]string{metaLacking: strconv.Itoa(c.replicas)}
}

// raise gives a stream the copies that it lacks, once the cluster has the nodes.
func (c *Conn) raise(ctx context.Context, has jetstream.StreamConfig) error {
	if _, marked := has.Metadata[metaLacking]; !marked || c.replicas <= has.Replicas {
		return nil
	}
	want := has
	want.Replicas, want.Metadata = c.replicas, maps.Clone(has.Metadata)
	delete(want.Metadata, metaLacking)
	_, err := c.js.UpdateStream(ctx, want)
	switch code := apiCode(err); {
	case err == nil:
		c.log.Info(fmt.Sprintf("%s is stored %d times from now on", has.Name, want.Replicas))
	case code == codeNoPeers, code == codeNoReplicas: // which was said when it was made; a cluster may have one node for good
		c.log.Debug("NATS still has too few nodes for three copies: " + has.Name + " is on one node only, and waits for that should it be lost")
		return nil
	}
	return err
}

func (c *Conn) bucket(ctx context.Context, name, description string) (*bucket, error) {
	b := &bucket{c: c, name: name}
	err := c.call(ctx, "make bucket "+name, func(ctx context.Context) error {
		var err error
		if b.kv, err = c.js.KeyValue(ctx, name); errors.Is(err, jetstream.ErrBucketNotFound) {
			err = c.replicated(func(n int) error {
				cfg := jetstream.KeyValueConfig{Bucket: name, Description: description, History: 1, Storage: jetstream.FileStorage,
					Replicas: n, Compression: true, LimitMarkerTTL: markerTTL, Metadata: c.lacking(n)}
				b.kv, err = c.js.CreateKeyValue(ctx, cfg)
				if errors.Is(err, jetstream.ErrLimitMarkerTTLNotSupported) {
					cfg.LimitMarkerTTL = 0
					b.kv, err = c.js.CreateKeyValue(ctx, cfg)
				}
				if errors.Is(err, jetstream.ErrBucketExists) { // another process was faster
					b.kv, err = c.js.KeyValue(ctx, name)
				}
				return err
			})
		}
		if err != nil {
			return err
		}
		has, err := c.known(ctx, b)
		if err != nil {
			return err
		}
		return c.raise(ctx, has)
	})
	if err != nil {
		return nil, err
	}
	return b, c.leaderReads(ctx, b)
}

// known notes what this connection needs to know of a bucket, and reports settings by which it would lose what it
// keeps.
func (c *Conn) known(ctx context.Context, b *bucket) (has jetstream.StreamConfig, _ error) {
	s, err := c.js.Stream(ctx, "KV_"+b.name)
	if err != nil {
		return has, err
	}
	c.born[b.name] = s.CachedInfo().Created
	has = s.CachedInfo().Config
	b.expires = has.SubjectDeleteMarkerTTL > 0
	if has.MaxAge > 0 {
		return has, pipeline.Permanent(fmt.Errorf("it exists and lets its keys expire after %s, and fanmill's state must stay: nats stream edit %s --max-age=-1", has.MaxAge, has.Name))
	}
	return has, durable(has)
}

// leaderReads has a bucket's reads answered by its leader alone. A replica that answers them, too, may lag behind: what
// was read there leads to writes that find a conflict. Who may not change the bucket goes on with it as it is.
func (c *Conn) leaderReads(ctx context.Context, b *bucket) error {
	err := c.call(ctx, "change bucket "+b.name, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, "KV_"+b.name)
		if err != nil {
			return err
		}
		want := s.CachedInfo().Config
		if version, _ := strconv.Atoi(want.Metadata[metaSettings]); !want.AllowDirect || version > settingsVersion {
			return nil
		}
		want.AllowDirect = false
		if _, err = c.js.UpdateStream(ctx, want); err == nil {
			b.reopen()
		}
		return err
	})
	if pipeline.IsPermanent(err) {
		c.log.Warn("bucket "+b.name+" is read from replicas, too, which costs repeated writes where one lags behind", "error", err)
		return nil
	}
	return err
}
