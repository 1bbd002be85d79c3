package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// versionInfo is what `version -o json` prints.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  argsNamed("", 0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo{p.env.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return p.print(result{document: v, names: []string{v.Version}, text: func() error {
				_, err := fmt.Fprintf(p.env.Stdout, "queuemill %s (%s, %s)\n", v.Version, v.Go, v.Platform)
				return err
			}})
		},
	}
	p.addFormatFlag(cmd)
	return cmd
}
