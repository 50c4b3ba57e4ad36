package main

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/shirou/gopsutil/v4/disk"

	"fanmill/pipeline"
	"fanmill/pipeline/spool"
)

// A disk that is full stops the embedded store, and with it every job: rows that wait leave it a twentieth, and no more
// than maxReserve bytes.
const (
	reserveShare = 20
	maxReserve   = 5 << 30
)

// spool is where this process keeps rows that wait to be written or sent whole: a folder for each store.
func (s *settings) spool(store string, log *slog.Logger) *spool.Root {
	dir := filepath.Join(cmp.Or(s.env.Spool, filepath.Join(s.env.Data, "spool")), pipeline.Token(store))
	space := &spool.Space{Max: s.env.SpoolMaxMB << 20, Waits: func(why string) { log.Warn("rows wait for room in the spool: " + why) }}
	space.Force(s.dead().Bytes()) // dead requests wait on the same account
	space.Look = func() int64 { return spool.Size(dir) + s.dead().Bytes() }
	usage := func() (*disk.UsageStat, error) { return disk.Usage(existing(dir)) }
	if u, err := usage(); err == nil {
		space.Reserve = min(int64(u.Total/reserveShare), maxReserve)
	}
	space.Free = func() (int64, error) {
		u, err := usage()
		if err != nil {
			return 0, err
		}
		return int64(u.Free), nil
	}
	return &spool.Root{Dir: dir, Store: store, Space: space}
}

// existing is the folder, or the nearest one above it that there is.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
