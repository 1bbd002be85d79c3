package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// outputFlags say how a result is written.
type outputFlags struct {
	format    string
	noHeaders bool
}

var formats = []string{"table", "wide", "json", "jsonl", "yaml", "name"}

func (p *program) addOutputFlags(cmd *cobra.Command) {
	p.addFormatFlag(cmd)
	cmd.Flags().BoolVar(&p.format.noHeaders, "no-headers", false, "leave the table's header out")
}

func (p *program) addFormatFlag(cmd *cobra.Command) {
	p.format.format = "table"
	cmd.Flags().VarP((*formatValue)(&p.format.format), "output", "o", "`FORMAT`: "+strings.Join(formats, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// formatValue is a flag that takes one of formats.
type formatValue string

func (f *formatValue) String() string { return string(*f) }
func (f *formatValue) Type() string   { return "format" }
func (f *formatValue) Set(s string) error {
	if !slices.Contains(formats, s) {
		return fmt.Errorf("there are %s", strings.Join(formats, ", "))
	}
	*f = formatValue(s)
	return nil
}

// human tells whether the result is for a person to read.
func (p *program) human() bool { return p.format.format == "table" || p.format.format == "wide" }

// result is what a verb found, in all its forms.
type result struct {
	document any          // one JSON or YAML document
	items    []any        // of it, for jsonl; nil: the document is one
	names    []string     // for -o name
	text     func() error // for people, where it is no table
	table    func(wide bool) *table
}

// print writes r in the format that was asked for, at once: a reader that has
// seen enough of it ends nothing.
func (p *program) print(r result) error {
	w := bufio.NewWriterSize(p.env.Stdout, 64<<10)
	if err := p.printTo(w, r); err != nil {
		return err
	}
	return w.Flush()
}

func (p *program) printTo(w io.Writer, r result) error {
	switch p.format.format {
	case "json":
		return printJSON(w, r.document, "  ")
	case "jsonl":
		items := r.items
		if items == nil {
			items = []any{r.document}
		}
		for _, item := range items {
			if err := printJSON(w, item, ""); err != nil {
				return err
			}
		}
		return nil
	case "yaml":
		data, err := yaml.Marshal(r.document)
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		_, err = w.Write(data)
		return err
	case "name":
		for _, name := range r.names {
			if _, err := fmt.Fprintln(w, sanitize(name, oneLine)); err != nil {
				return err
			}
		}
		return nil
	}
	if r.text != nil {
		return r.text()
	}
	t := r.table(p.format.format == "wide")
	return t.print(w, p.tableStyle())
}

// tableStyle is that of stdout.
func (p *program) tableStyle() tableStyle {
	return tableStyle{width: terminalWidth(p.env.Stdout), colours: colours(p.env.Stdout), noHeaders: p.format.noHeaders}
}

func printJSON(w io.Writer, v any, indent string) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	_, err := w.Write(safeJSON([]byte(b.String())))
	return err
}

// anys makes items of a list.
func anys[T any](list []T) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}
