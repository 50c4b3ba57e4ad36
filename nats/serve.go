package nats

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"fanmill/pipeline"
)

// handlersPatience bounds the wait for handlers at the end: a run drains for 20 s first, and then records its end.
const handlersPatience = 80 * time.Second

// routerLevels quiets the router: what it says of its own comings and goings is for debugging.
var routerLevels = map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}

// Serve implements pipeline.Bus by a Watermill router.
func (b bus) Serve(ctx context.Context, log *slog.Logger, handlers ...pipeline.Handler) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: handlersPatience}, watermill.NewSlogLoggerWithLevelMapping(log.WithGroup("router"), routerLevels))
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	for _, h := range handlers {
		added := router.AddConsumerHandler(h.Durable, h.Topic, newSubscriber(b.c, h), func(m *message.Message) error { return handle(h, m) })
		if h.Dead == "" {
			continue
		}
		dead, err := middleware.PoisonQueueWithFilter(publisher(b), h.Dead, pipeline.IsPermanent)
		if err != nil {
			return fmt.Errorf("make dead-letter queue: %w", err)
		}
		added.AddMiddleware(dead)
	}
	if err := router.Run(ctx); err != nil && ctx.Err() == nil { // ended before all its handlers had subscribed
		return fmt.Errorf("run router: %w", err)
	}
	return nil
}

// handle has a message handled. A dead letter has the payload that the handler leaves.
func handle(h pipeline.Handler, m *message.Message) error {
	msg := fromWatermill(m)
	msg.Done, _ = m.Context().Value(doneKey{}).(func(context.Context) error)
	err := h.Handle(m.Context(), msg)
	m.Payload = msg.Payload
	return err
}

// fromWatermill is a message of a subscriber, or of convert, as the pipeline has it.
func fromWatermill(m *message.Message) *pipeline.Message {
	msg := &pipeline.Message{Subject: m.Metadata.Get(metaSubject), MsgID: m.Metadata.Get(metaMsgID), Payload: m.Payload}
	// convert wrote these: what another program put in their place it has replaced.
	msg.Sequence, _ = strconv.ParseUint(m.Metadata.Get(metaSequence), 10, 64)
	msg.Stored, _ = time.Parse(time.RFC3339Nano, m.Metadata.Get(metaTime))
	msg.Delivered, _ = strconv.Atoi(m.Metadata.Get(metaDelivered))
	msg.Trace = pipeline.ReadTraceContext(m.Metadata.Get(headTraceParent), m.Metadata.Get(headTraceState))
	return msg
}

// Publish implements pipeline.Bus.
func (b bus) Publish(topic, id string, payload []byte) error {
	if id == "" {
		id = watermill.NewUUID()
	}
	return publisher(b).Publish(topic, message.NewMessage(id, payload))
}

// Headers of the publisher's span, [W3C Trace Context] 3.2 and 3.3. Its third, baggage, is anybody's text, and not
// read.
const (
	headTraceParent = "traceparent"
	headTraceState  = "tracestate"
)

// Metadata of messages that a subscriber delivers.
const (
	metaSequence  = "stream_sequence"  // decimal
	metaTime      = "stream_time"      // when the server stored it, RFC 3339 with nanoseconds
	metaDelivered = "delivery_attempt" // decimal, counts from 1 again after the server restarts
	metaMsgID     = "msg_id"           // the publisher's Nats-Msg-Id; absent if it gave none
	metaSubject   = "subject"
)
