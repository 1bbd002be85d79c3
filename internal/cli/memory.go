package cli

import "runtime/debug"

// leanMemory keeps the idle controller small: with little on the heap Go would
// let it grow to 4 MiB before it collects, and keep twice what is in use.
func leanMemory() { debug.SetGCPercent(50) }
