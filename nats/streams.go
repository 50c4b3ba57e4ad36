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

// The streams and buckets. Those of row logs are made per run, see rowlogs.go.
const (
	streamJobs   = "FANMILL_JOBS"
	streamEvents = "FANMILL_EVENTS"
	streamDead   = "FANMILL_DEAD"

	bucketJobs        = "fanmill_jobs"
	bucketRuns        = "fanmill_runs"
	bucketCheckpoints = "fanmill_checkpoints"

	eventAge = 7 * 24 * time.Hour
)

func fixedStreams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{{
		Name:        streamJobs,
		Description: "fanmill: triggers and commands; each is gone when it is done",
		Subjects:    []string{"fanmill.jobs.>"},
		Retention:   jetstream.WorkQueuePolicy,
	}, {
		Name:        streamEvents,
		Description: "fanmill: what happened, fanmill.events.<job>.<run>.<kind>, for 7 days",
		Subjects:    []string{"fanmill.events.>"},
		MaxAge:      eventAge,
	}, {
		Name:        streamDead,
		Description: "fanmill: messages that could not be handled",
		Subjects:    []string{"fanmill.dead.>"},
	}}
}

// streamOf is the stream that owns a topic.
func streamOf(topic string) (string, error) {
	for _, s := range fixedStreams() {
		if strings.HasPrefix(topic, strings.TrimSuffix(s.Subjects[0], ">")) {
			return s.Name, nil
		}
	}
	return "", pipeline.Permanent(fmt.Errorf("topic %q is in no stream of fanmill's", topic))
}

// ensureStreams makes what is missing and leaves the rest as it is, but for settings that an older version made differently.
func (c *Conn) ensureStreams(ctx context.Context) error {
	runs, err := c.bucket(ctx, bucketRuns, "fanmill: runs, their manifests and the state of each connection")
	if err != nil {
		return err
	}
	jobs, err := c.bucket(ctx, bucketJobs, "fanmill: jobs as loaded, secrets as references")
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
	if c.host == nil { // the store is as old as the bucket of its runs, and no older or newer one is the same store
		return c.call(ctx, "identify the store", func(ctx context.Context) error {
			st, err := runs.kv.Status(ctx)
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
	return nil
}

func (c *Conn) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	return c.call(ctx, "make stream "+cfg.Name, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return c.replicated(func(n int) error {
				cfg.Replicas = n
				_, err := c.js.CreateStream(ctx, cfg)
				if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
					err = nil // another process was faster
				}
				return err
			})
		}
		if err != nil {
			return err
		}
		has := s.CachedInfo().Config
		if has.Retention != cfg.Retention {
			return fmt.Errorf("it exists with another retention (%s); move it away: nats stream rm %s", has.Retention, cfg.Name)
		}
		if has.Description == cfg.Description && has.MaxAge == cfg.MaxAge {
			return nil
		}
		has.Description, has.MaxAge = cfg.Description, cfg.MaxAge
		_, err = c.js.UpdateStream(ctx, has)
		return err
	})
}

// replicated calls create with the number of replicas; if the cluster has too few nodes for three, from then on with one.
func (c *Conn) replicated(create func(int) error) error {
	err := create(c.replicas)
	if code := apiCode(err); c.replicas > 1 && c.opts.Replicas == 0 && (code == codeNoPeers || code == codeNoReplicas) {
		c.replicas = 1
		err = create(1)
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
					Replicas: n, Compression: true, LimitMarkerTTL: markerTTL}
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
		st, err := b.kv.Status(ctx)
		if err == nil {
			b.expires = st.LimitMarkerTTL() > 0
		}
		return err
	})
	return b, err
}
