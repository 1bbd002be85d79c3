package queuejob

// SourceReason is the reason of SourceHealthy=False for what a queue answered,
// also where it could not be opened yet.
func SourceReason(err error) string { return sourceReason(err) }
