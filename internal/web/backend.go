package web

import "context"

// Backend is what the page shows and does. Its methods are called from many requests at once.
type Backend interface {
	// Alive is nil unless the process is stuck, and has to be killed.
	Alive() error
	// Ready is nil if the store answers.
	Ready(ctx context.Context) error
	// About describes the process.
	About() About
}

// About is the process that shows the page.
type About struct {
	Version string `json:"version"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Store   string `json:"store"`  // the folder of the embedded store, or that it is an external one
	Serves  string `json:"serves"` // the folder of the jobs that it runs when triggers ask; "" if it only shows
}
