// Package store is the one database of a machine: a Pebble store in the data
// directory, shared by the embedded queue and the kept records.
//
// Its promise has two grades. What Commit answered is on disk (fsync; callers
// that commit at the same time share one). What CommitNoSync answered is with
// the operating system: it survives the death of the process, and may be lost
// with the power, but never out of order: if a later Commit is there, so is it.
package store
