package nats

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// serverLog passes on what the embedded server has to say, if it is at least a warning.
type serverLog struct {
	log   *slog.Logger
	fatal chan string // the first fatal message: the server did not start
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	level := slog.LevelWarn
	if strings.Contains(format, "attempting to recover") { // after a kill, as a matter of course; failing to is an error
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, fmt.Sprintf(format, v...))
}

func (l *serverLog) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }

func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
