package process

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxSocketPath is what fits into a socket's address: 107 bytes on Linux, 103
// on macOS.
const maxSocketPath = 103

// socketPath is where a worker of the pool whose folder is dir listens: in dir,
// or where that path is too long, in a folder of the same rights below the
// system's temporary one.
func socketPath(dir, suffix string) (string, error) {
	if path := filepath.Join(dir, suffix+socketEnd); len(path) <= maxSocketPath {
		return path, nil
	}
	sum := sha256.Sum256([]byte(dir))
	name := "queuemill-" + strconv.Itoa(os.Getuid()) + "-" + hex.EncodeToString(sum[:4])
	for _, temp := range []string{os.TempDir(), "/tmp"} {
		short := filepath.Join(temp, name)
		if path := filepath.Join(short, suffix+socketEnd); len(path) <= maxSocketPath {
			return path, ownDir(short)
		}
	}
	return "", fmt.Errorf("no place for a socket: %s and the temporary folder have too long a path; choose a shorter --data", dir)
}

// ownDir makes a folder where everybody may make one; one that somebody else
// made, or may look into, is refused.
func ownDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil || !os.IsExist(err) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is not this user's alone: remove it, or choose a --data with a shorter path", dir)
	}
	return nil
}

// inode tells a file from one that took its place.
func inode(info os.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d-%d", stat.Dev, stat.Ino)
	}
	return ""
}
