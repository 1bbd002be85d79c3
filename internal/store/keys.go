package store

// The key spaces: the first byte of every key.
const (
	// SpaceMeta holds what is said of the store itself.
	SpaceMeta byte = 0x01
	// SpaceQueue holds the embedded queue.
	SpaceQueue byte = 0x02
	// SpaceRecord holds the records of jobs.
	SpaceRecord byte = 0x03
	// SpaceControl holds suspensions and other requests of people.
	SpaceControl byte = 0x04
)

// formatVersion is the layout of all key spaces that this program writes. A
// program refuses a higher one and upgrades a lower one.
const formatVersion = 1

// formatKey holds formatVersion, big endian, 4 bytes.
var formatKey = []byte{SpaceMeta, 'f', 'o', 'r', 'm', 'a', 't'}
