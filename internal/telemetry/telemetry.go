// Package telemetry sends what is done for runs to a collector of OpenTelemetry. It is all that knows OpenTelemetry;
// what it implements is pipeline.Tracing. It is set up by the standard variables OTEL_*, which the SDK reads itself.
//
// Nothing waits for the collector: spans go into a bounded queue when they end, and are dropped where that is full.
// Only the end of the process gives the collector time, and little.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// closePatience is how long the end of the process waits for a collector that does not answer.
const closePatience = 2 * time.Second

// Telemetry implements pipeline.Tracing.
type Telemetry struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Wanted reports whether the environment names a collector. Without one nothing is set up: the SDK's own default would
// be a port of this machine.
func Wanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || strings.EqualFold(os.Getenv("OTEL_TRACES_EXPORTER"), "none") {
		return false
	}
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// New sets up what the environment names. version is the program's. Trouble with the collector is logged, the first at
// the level of a warning. Close must follow.
func New(ctx context.Context, version string, log *slog.Logger) (*Telemetry, error) {
	if p := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); p != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; fanmill sends http/protobuf, which collectors take on port 4318", p)
	}
	if e := cmp.Or(os.Getenv("OTEL_TRACES_EXPORTER"), "otlp"); e != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q; fanmill has otlp and none", e)
	}
	listen(log)
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up the export of traces: %w", withoutAddress(err))
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithAttributes(attribute.String("service.name", "fanmill"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		log.Debug("not all that traces say of this process is known", "error", err)
	}
	return to(exporter, version, about), nil
}

// to sends spans to an exporter.
func to(exporter sdk.SpanExporter, version string, about *resource.Resource) *Telemetry {
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about), sdk.WithIDGenerator(ids{}))
	return &Telemetry{provider: provider, tracer: provider.Tracer("fanmill", trace.WithInstrumentationVersion(version))}
}

// Close sends what is left, for two seconds at most.
func (t *Telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("the last traces were not taken: %w", withoutAddress(err))
	}
	return nil
}

// listen logs what the SDK has to say, which it says to the whole process.
func listen(log *slog.Logger) {
	var said atomic.Bool
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		level := slog.LevelDebug
		if said.CompareAndSwap(false, true) {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, fmt.Sprintf("traces are not taken, and dropped; runs do not wait for that: %v", withoutAddress(err)))
	}))
	otel.SetLogger(logr.FromSlogHandler(messages{log}))
}

// withoutAddress is an error without the collector's address, in which there may be a token.
func withoutAddress(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// messages logs messages without what is beside them: that may be the value of a header.
type messages struct{ log *slog.Logger }

func (m messages) Enabled(ctx context.Context, l slog.Level) bool { return m.log.Enabled(ctx, l) }

func (m messages) Handle(ctx context.Context, r slog.Record) error {
	level := slog.LevelDebug
	if r.Level >= slog.LevelWarn {
		level = slog.LevelWarn
	}
	m.log.Log(ctx, level, "OpenTelemetry: "+r.Message)
	return nil
}

func (m messages) WithAttrs([]slog.Attr) slog.Handler { return m }

func (m messages) WithGroup(string) slog.Handler { return m }
