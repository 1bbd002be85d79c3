package supervisor

// eventKind is what a file descriptor of the poller is.
type eventKind byte

const (
	kindOfConn   eventKind = iota + 1 // the socket to the controller
	kindOfOutput                      // a run's output
	kindOfExit                        // some process has ended
)
