// Package checkpoint has the records that every restart begins from, and all of their transitions.
//
//	RunRecord      one of a run: its state, its owner, how far its row log is given up
//	ConnRecord     one of each connection of a run: whose attempt counts, and how it stands
//	CommitRecord   one of each destination of a run: what it has durably committed
//	ProcessRecord  one of each process: its lease on all that it has in hand
//
// A record is a Document: JSON that is changed by compare-and-set only. Whoever changes one calls a method that is
// named after the change; nobody else writes its fields. A conflict ends no owner: the record is read again, and only
// another token, or a later epoch, is a fence. Manifests, notes of triggers and the public checkpoint are here, too.
package checkpoint
