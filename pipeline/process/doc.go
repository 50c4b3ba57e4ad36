// Package process wires the rooms of the pipeline for one process.
package process
