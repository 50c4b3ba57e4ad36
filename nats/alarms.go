package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// alarms are the server's one-shot schedules [ADR-51]. Its cron schedules are not used: they skip and repeat hours when
// clocks are put, know the zones of the server's machine alone, and may fire twice after a kill.
type alarms struct{ c *Conn }

var _ pipeline.Alarms = alarms{}

// Alarms are those of the store's server.
func (c *Conn) Alarms() pipeline.Alarms { return alarms{c} }

// The first server that has one-shot schedules. An older one would store the message that asks for one, and no more.
const alarmsMajor, alarmsMinor = 2, 12

// alarmStream keeps alarms that are set, and those that have gone off: of each schedule the last one. No other limit
// may remove a message of it: that would be an alarm.
func alarmStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              streamAlarms,
		Description:       "fanmill: when jobs run by themselves, fanmill.schedules.<job>.<schedule>, and times that have come, fanmill.due.<job>.<schedule>",
		Subjects:          []string{pipeline.TopicAlarms, pipeline.TopicDues},
		Retention:         jetstream.LimitsPolicy,
		MaxMsgsPerSubject: 1,
		AllowMsgSchedules: true,
	}
}

// Open implements pipeline.Alarms.
func (a alarms) Open(ctx context.Context) error {
	if v := a.c.nc.ConnectedServerVersion(); !atLeast(v, alarmsMajor, alarmsMinor) {
		return pipeline.Permanent(pipeline.OfKind(pipeline.ErrNoAlarms, fmt.Errorf("%w: %s is version %s, and schedules need %d.%d; update it, or have jobs triggered by another program",
			pipeline.ErrNoAlarms, a.c.place(), v, alarmsMajor, alarmsMinor)))
	}
	return a.c.ensureStream(ctx, alarmStream())
}

// Alarm implements pipeline.Alarms.
func (a alarms) Alarm(ctx context.Context, job, schedule string) (out pipeline.Alarm, _ error) {
	topic := pipeline.TopicAlarm(job, schedule)
	err := a.c.call(ctx, "look at "+topic, func(ctx context.Context) error {
		out = pipeline.Alarm{}
		s, err := a.c.js.Stream(ctx, streamAlarms)
		if err != nil {
			return err
		}
		m, err := s.GetLastMsgForSubject(ctx, topic)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var due pipeline.Due
		if json.Unmarshal(m.Data, &due) == nil { // else it is nobody's alarm, and replaced
			out.At = due.At
		}
		out.Revision = m.Sequence
		return nil
	})
	return out, err
}

// Set implements pipeline.Alarms. A try whose answer was lost conflicts with the next one: whoever sets alarms looks
// again.
func (a alarms) Set(ctx context.Context, job, schedule string, at time.Time, seen pipeline.Alarm) error {
	topic := pipeline.TopicAlarm(job, schedule)
	payload, err := json.Marshal(pipeline.Due{Job: job, Schedule: schedule, At: at.UTC()})
	if err != nil {
		return err
	}
	msg := &nats.Msg{Subject: topic, Header: nats.Header{}, Data: payload}
	msg.Header.Set(headType, typeJSON)
	conflict := false
	began := time.Now()
	err = a.c.call(ctx, "set the alarm "+topic, func(ctx context.Context) error {
		_, err := a.c.js.PublishMsg(ctx, msg, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(pipeline.TopicDue(job, schedule)),
			jetstream.WithExpectLastSequencePerSubject(seen.Revision), jetstream.WithExpectStream(streamAlarms))
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			if made := a.c.same(ctx); made != nil {
				return made
			}
			if made := a.c.ensureStream(ctx, alarmStream()); made != nil {
				return made
			}
			_, err = a.c.js.PublishMsg(ctx, msg, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(pipeline.TopicDue(job, schedule)), jetstream.WithExpectStream(streamAlarms))
		}
		if conflict = outOfOrder(err); conflict {
			return nil
		}
		return err
	})
	a.c.noted(streamAlarms, began, err)
	if conflict {
		return fmt.Errorf("set the alarm %s: %w", topic, pipeline.ErrConflict)
	}
	return err
}

// Cancel implements pipeline.Alarms.
func (a alarms) Cancel(ctx context.Context, job, schedule string) error {
	topic := pipeline.TopicAlarm(job, schedule)
	return a.c.call(ctx, "cancel the alarm "+topic, func(ctx context.Context) error {
		s, err := a.c.js.Stream(ctx, streamAlarms)
		if err != nil {
			return err
		}
		if err := s.Purge(ctx, jetstream.WithPurgeSubject(topic)); err != nil {
			return err
		}
		return s.Purge(ctx, jetstream.WithPurgeSubject(pipeline.TopicDue(job, schedule)))
	})
}

// clockPatience is how long the server may take to tell the time for its answer to be worth something.
const clockPatience = 2 * time.Second

// Now implements pipeline.Alarms by the time that a stream's leader says it is: halfway between question and answer.
func (a alarms) Now(ctx context.Context) (now time.Time, _ error) {
	err := a.c.call(ctx, "ask for the time of KV_"+bucketJobs, func(ctx context.Context) error {
		asked := time.Now()
		s, err := a.c.js.Stream(ctx, "KV_"+bucketJobs)
		if err != nil {
			return err
		}
		took := time.Since(asked)
		if took > clockPatience {
			return fmt.Errorf("the answer took %s", took)
		}
		now = s.CachedInfo().TimeStamp.Add(took / 2)
		return nil
	})
	if err == nil && now.Year() < 2000 {
		err = pipeline.Permanent(errors.New("the server does not tell the time"))
	}
	return now, err
}
