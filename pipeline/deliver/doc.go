// Package deliver brings the frames of a row log into destinations: it claims a commit record, reads the log in its
// order, and lets a sink write, exactly once. What a destination keeps on the disks of a process is made, found again
// and removed here.
package deliver
