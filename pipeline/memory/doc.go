// Package memory bounds what a process takes: a budget for rows, and a watch of all the rest.
package memory
