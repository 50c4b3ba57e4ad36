package nats

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// serverLog passes on what the embedded server has to say, if it is at least a warning.
type serverLog struct {
	log   *slog.Logger
	fatal chan string // the first fatal message: the server did not start
	host  *host       // hears what keeps the server from storing; may be nil
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	text, level := fmt.Sprintf(format, v...), slog.LevelWarn
	if slices.ContainsFunc(afterKill, func(s string) bool { return strings.Contains(text, s) }) {
		level = slog.LevelDebug
	}
	l.heard(level, text)
}

// heard passes a line on. Of a server that cannot store, the first word is enough: it is said in ours, and then known.
func (l *serverLog) heard(level slog.Level, text string) {
	if l.host != nil && ails(text) {
		l.host.ail(text)
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, text)
}

// afterKill is what the server says of every stream when the process before was killed: its index is older than its
// messages, and is made anew from them. Failing to do that it calls an error, and so it is logged.
var afterKill = []string{
	"attempting to recover",
	"Stream state outdated",
	"Recovering stream state from index errored: prior state file",
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.heard(slog.LevelError, fmt.Sprintf(format, v...))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
