// Package oslock takes the operating system's lock on an open file. The system gives the lock up when the process ends, however
// it ends, so a lock that can be taken proves that its last owner is gone.
package oslock
