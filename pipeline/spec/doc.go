// Package spec has what a run is made from: the definition of its job, the request that asks for it, and the rules by
// which a job that has changed since may go on with it.
package spec
