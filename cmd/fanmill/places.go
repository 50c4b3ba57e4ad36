package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// placeFlag is of commands that write files, or look whether they could.
func placeFlag(f *flags, fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.places, "place", nil, "`NAME=FOLDER` for destinations with that \"place\"; may be given several times (also FANMILL_PLACES, with ; between)")
}

// readPlaces takes the folders that this process offers from the command line, and what that does not name from the
// environment.
func (s *settings) readPlaces(given []string) (err error) {
	var named []string
	for _, offer := range strings.Split(s.env.Places, ";") {
		if strings.TrimSpace(offer) != "" {
			named = append(named, offer)
		}
	}
	if s.places, err = config.Places(named); err != nil {
		return fmt.Errorf("FANMILL_PLACES: %w", err)
	}
	flagged, err := config.Places(given)
	if err != nil {
		return fmt.Errorf("--place: %w", err)
	}
	maps.Copy(s.places, flagged)
	return nil
}

// placeTrouble is why files cannot be written in a folder that this process offers; nil if they can.
func placeTrouble(name, folder string) error {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("place %s: %s is no folder on this host; make it, or connect its drive", name, folder)
	}
	probe, err := os.CreateTemp(folder, ".fanmill-probe-*")
	if err != nil {
		return fmt.Errorf("place %s: the folder %s cannot be written: %w", name, folder, err)
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// sayPlaces tells which folders this process offers.
func (s *settings) sayPlaces(log *slog.Logger) {
	for _, name := range slices.Sorted(maps.Keys(s.places)) {
		if err := placeTrouble(name, s.places[name]); err != nil {
			log.Warn(fmt.Sprintf("%v. Destinations there are tried again until it can be", err))
			continue
		}
		log.Info(fmt.Sprintf("place %s: %s can be written", name, s.places[name]))
	}
}

// missingPlaces are the destinations of a job whose place this process does not offer, in words.
func (s *settings) missingPlaces(job *pipeline.Job) (all []string) {
	for _, d := range job.Destinations {
		if d.Place != "" && s.places[d.Place] == "" {
			all = append(all, fmt.Sprintf("destination %s is written at the place %s, which this process does not offer; --place %s=FOLDER does", d.ID, d.Place, d.Place))
		}
	}
	return all
}

// placeProblems are why destinations of a job cannot be written at the places that this process offers.
func (s *settings) placeProblems(job *pipeline.Job) (all []string) {
	seen := map[string]bool{}
	for _, d := range job.Destinations {
		folder := s.places[d.Place]
		if d.Place == "" || folder == "" || seen[d.Place] {
			continue
		}
		seen[d.Place] = true
		if err := placeTrouble(d.Place, filepath.Clean(folder)); err != nil {
			all = append(all, fmt.Sprintf("destination %s: %v", d.ID, err))
		}
	}
	return all
}
