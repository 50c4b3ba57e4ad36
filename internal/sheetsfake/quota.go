package sheetsfake

import (
	"fmt"
	"net/http"
	"time"
)

// quota counts the requests of the last minute. Reads and writes are counted apart; a service account is one user.
type quota struct {
	reads, writes window
}

// window has the times of a minute's requests.
type window struct {
	all     []time.Time
	perUser map[string][]time.Time
}

// take counts a request, or refuses it. A refused one is not counted.
func (q *quota) take(o Options, write bool, user string) *apiError {
	w, name, word := &q.reads, "Read", "read"
	if write {
		w, name, word = &q.writes, "Write", "write"
	}
	now := o.Now()
	if w.perUser == nil {
		w.perUser = map[string][]time.Time{}
	}
	w.all, w.perUser[user] = recent(w.all, now), recent(w.perUser[user], now)
	switch {
	case len(w.perUser[user]) >= o.PerUser:
		return overQuota(name+" requests", name+"RequestsPerMinutePerUser", word, "1/min/{project}/{user}", o.PerUser)
	case len(w.all) >= o.PerProject:
		return overQuota(name+" requests", name+"RequestsPerMinutePerProject", word, "1/min/{project}", o.PerProject)
	}
	w.all, w.perUser[user] = append(w.all, now), append(w.perUser[user], now)
	return nil
}

// recent drops what is a minute old.
func recent(times []time.Time, now time.Time) []time.Time {
	for len(times) > 0 && now.Sub(times[0]) >= time.Minute {
		times = times[1:]
	}
	return times
}

func overQuota(metric, limit, word, unit string, value int) *apiError {
	message := fmt.Sprintf("Quota exceeded for quota metric '%s' and limit '%s' of service 'sheets.googleapis.com' for consumer 'project_number:1'.", metric, limit)
	return &apiError{http.StatusTooManyRequests, map[string]any{"error": map[string]any{
		"code": http.StatusTooManyRequests, "message": message, "status": "RESOURCE_EXHAUSTED",
		"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com",
			"metadata": map[string]string{"service": "sheets.googleapis.com", "quota_limit": limit, "quota_limit_value": fmt.Sprint(value),
				"quota_metric": "sheets.googleapis.com/" + word + "_requests", "quota_unit": unit, "quota_location": "global", "consumer": "projects/1"}}},
	}}}
}
