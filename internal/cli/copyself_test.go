package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTheProgramIsCopiedWholeOverAnOlderOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queuemill")
	if err := os.WriteFile(path, []byte("older"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyProgram(path); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy has %d bytes, want %d (%v)", len(got), len(want), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := copyProgram(filepath.Join(path, "no-folder")); err == nil {
		t.Error("a path below a file was written to")
	}
}
