package stages

import (
	"testing"
	"time"
)

// What an error says about the time that a login may take is so: the driver's own limits are no shorter, unless the DSN says so, but
// for a partner to fail over to, which has its share. Cancelling waits less than a caller is promised.
func TestSQLServerTimeLimits(t *testing.T) {
	for options, want := range map[string]struct{ limit, dial time.Duration }{
		"":                          {30 * time.Second, 30 * time.Second},
		"&connection+timeout=60":    {time.Minute, time.Minute},
		"&connection+timeout=5":     {5 * time.Second, 5 * time.Second},
		"&dial+timeout=3":           {30 * time.Second, 3 * time.Second},
		"&failoverpartner=b.branch": {30 * time.Second, 15 * time.Second},
	} {
		target, err := sqlserverParseDSN("sqlserver://me:pw@a.branch?database=sales" + options)
		if err != nil {
			t.Fatal(err)
		}
		if c, limit := target.forDriver(); limit != want.limit || c.DialTimeout != want.dial || c.ConnTimeout != 0 {
			t.Errorf("%q: %v to log in, %v to dial, %v to be silent", options, limit, c.DialTimeout, c.ConnTimeout)
		}
	}
	if sqlserverCancelWait > 2*time.Second || pgCloseTimeout > 2*time.Second || mysqlCloseTimeout > 2*time.Second {
		t.Error("cancelling may take more than two seconds")
	}
}
