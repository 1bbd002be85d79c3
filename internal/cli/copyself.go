package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// copySelfCommand puts this very program where a pod's other containers find
// it: their images need not know it. For pods of worker pools, not for people.
func (p *program) copySelfCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "copy-self PATH",
		Short:  "Copy this program to PATH",
		Hidden: true,
		Args:   argsNamed("PATH", 1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := copyProgram(args[0]); err != nil {
				return fmt.Errorf("copy the program to %s: %w", args[0], err)
			}
			return nil
		},
	}
}

// copyProgram writes a whole copy beside path and then gives it its name: a
// container that was restarted finds it whole or not at all.
func copyProgram(path string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	in, err := os.Open(self)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(path), ".queuemill-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Chmod(0o755), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}
