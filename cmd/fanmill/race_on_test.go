//go:build race

package main

// raceEnabled makes the largest tests smaller: under the race detector the same rows take ten times as long.
const raceEnabled = true
