package config

import (
	"runtime"
	"time"
)

// Resolve replaces the tokens of a path, but for those of connections and queries, by the rules of this system.
func Resolve(path, jobID, jobName, run string, date time.Time) (string, error) {
	return resolve(path, tokenValues{jobID: jobID, jobName: jobName, run: run, date: date}, runtime.GOOS)
}

// TreeJSON is a job file's text as JSON.
func TreeJSON(name string, data []byte) []byte {
	n, problem := parseTree(name, data)
	if problem != nil {
		panic(problem.String())
	}
	return n.appendJSON(nil)
}
