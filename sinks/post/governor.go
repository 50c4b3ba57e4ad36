package post

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// governor bounds the requests of this process to one host with one credential, over all clients: a receiver counts by
// credential, not by destination. Of several clients' limits the least holds.
type governor struct {
	mu        sync.Mutex
	parallel  map[int]int     // limits and how many clients have them
	perSecond map[float64]int // without those that have none
	clients   int
	active    int
	queue     []chan struct{} // waiting for a slot, first come first served
	next      time.Time       // when the next request may begin
	until     time.Time       // the receiver asked for no request before
}

var governors struct {
	mu   sync.Mutex
	byID map[governorID]*governor
}

type governorID struct {
	host       string
	credential [sha256.Size]byte
}

func idOf(host string, a Auth) governorID {
	parts := []string{a.Bearer}
	switch {
	case a.Basic != nil:
		parts = []string{"basic", a.Basic.User, a.Basic.Password}
	case a.APIKey != nil:
		parts = []string{"apiKey", a.APIKey.Value}
	case a.OAuth2 != nil:
		parts = []string{"oauth2", a.OAuth2.TokenURL, a.OAuth2.ClientID}
	}
	return governorID{host, sha256.Sum256(fmt.Appendf(nil, "%q", parts))}
}

func governorFor(host string, a Auth, parallel int, perSecond float64) *governor {
	governors.mu.Lock()
	defer governors.mu.Unlock()
	id := idOf(host, a)
	g := governors.byID[id]
	if g == nil {
		g = &governor{parallel: map[int]int{}, perSecond: map[float64]int{}}
		if governors.byID == nil {
			governors.byID = map[governorID]*governor{}
		}
		governors.byID[id] = g
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clients++
	g.parallel[parallel]++
	if perSecond > 0 {
		g.perSecond[perSecond]++
	}
	return g
}

// leave takes a client's limits back. A governor without clients is forgotten, its pause with it.
func (g *governor) leave(parallel int, perSecond float64) {
	governors.mu.Lock()
	defer governors.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clients--; g.clients <= 0 {
		maps.DeleteFunc(governors.byID, func(_ governorID, other *governor) bool { return other == g })
	}
	if g.parallel[parallel]--; g.parallel[parallel] <= 0 {
		delete(g.parallel, parallel)
	}
	if g.perSecond[perSecond]--; g.perSecond[perSecond] <= 0 {
		delete(g.perSecond, perSecond)
	}
	g.grant()
}

// grant gives free slots to those who wait. g.mu is held.
func (g *governor) grant() {
	for len(g.queue) > 0 && g.free() {
		g.active++
		close(g.queue[0])
		g.queue = g.queue[1:]
	}
}

func (g *governor) free() bool {
	return len(g.parallel) == 0 || g.active < slices.Min(slices.Collect(maps.Keys(g.parallel)))
}

// pausedError says how much of a pause is left.
type pausedError struct{ left time.Duration }

func (e *pausedError) Error() string { return "paused" }

// enter waits for a slot and for the rate; the caller calls release once. During a pause that the receiver asked for it
// does not wait but returns a *pausedError.
func (g *governor) enter(ctx context.Context, now func() time.Time, after afterFunc) (release func(), err error) {
	if err := g.paused(now()); err != nil {
		return nil, err
	}
	if err := g.slot(ctx); err != nil {
		return nil, err
	}
	release = sync.OnceFunc(g.release)
	if err := g.rate(ctx, now(), after); err != nil {
		release()
		return nil, err
	}
	if err := g.paused(now()); err != nil { // another request was answered meanwhile
		release()
		return nil, err
	}
	return release, nil
}

func (g *governor) paused(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if left := g.until.Sub(now); left > 0 {
		return &pausedError{left}
	}
	return nil
}

func (g *governor) slot(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	g.mu.Lock()
	if len(g.queue) == 0 && g.free() {
		g.active++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.queue, turn)
	if i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 { // the slot was given in the same moment
		g.release()
	}
	return context.Cause(ctx)
}

func (g *governor) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active--
	g.grant()
}

// rate waits for the next moment at which a request may begin. Who gives up leaves a gap.
func (g *governor) rate(ctx context.Context, now time.Time, after afterFunc) error {
	g.mu.Lock()
	wait := time.Duration(0)
	if len(g.perSecond) > 0 {
		least := slices.Min(slices.Collect(maps.Keys(g.perSecond)))
		begin := g.next
		if begin.Before(now) {
			begin = now
		}
		g.next = begin.Add(time.Duration(float64(time.Second) / least))
		wait = begin.Sub(now)
	}
	g.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	due := make(chan struct{})
	timer := after(Waiting, wait, func() { close(due) })
	defer timer.Stop()
	select {
	case <-due:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause lets no request begin before until.
func (g *governor) pause(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.After(g.until) {
		g.until = until
	}
}

// hostPort names where an address leads to, with the port.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}
