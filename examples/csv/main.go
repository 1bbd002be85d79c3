// Command process reads a CSV file with the columns ID and Value and writes it
// again with a third, ProcessedValue, which is twice the value.
package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

func main() {
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: process INPUT.csv OUTPUT.csv")
		os.Exit(2)
	}
	rows, err := process(flag.Arg(0), flag.Arg(1))
	if err != nil {
		fmt.Fprintln(os.Stderr, "process:", err)
		os.Exit(1)
	}
	fmt.Printf("%s: %d rows\n", flag.Arg(1), rows)
}

// process returns the number of rows written, without the header. Both paths
// come out of a message, so neither may lead out of the working directory. The
// output is put in place whole or, after an error, not at all.
func process(input, output string) (rows int, err error) {
	folder, err := os.OpenRoot(".")
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	in, err := folder.Open(input)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	part := output + ".part"
	out, err := folder.Create(part)
	if err != nil {
		return 0, err
	}
	rows, err = copyRows(csv.NewReader(in), csv.NewWriter(out))
	if err := errors.Join(err, out.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("%s: %w", input, err), folder.Remove(part))
	}
	return rows, folder.Rename(part, output)
}

func copyRows(r *csv.Reader, w *csv.Writer) (rows int, err error) {
	header, err := r.Read()
	if err != nil {
		return 0, fmt.Errorf("header: %w", err)
	}
	if !slices.Equal(header, []string{"ID", "Value"}) {
		return 0, fmt.Errorf("header is %q, want ID,Value", header)
	}
	// Write keeps its error for Flush.
	_ = w.Write(append(header, "ProcessedValue"))
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			w.Flush()
			return rows, w.Error()
		}
		if err != nil {
			return rows, err
		}
		value, err := double(row[1])
		if err != nil {
			line, _ := r.FieldPos(1)
			return rows, fmt.Errorf("line %d, ID %s: %w", line, row[0], err)
		}
		_ = w.Write(append(row, value))
		rows++
	}
}

// double keeps to decimal notation: 20.5 becomes 41.
func double(value string) (string, error) {
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return "", fmt.Errorf("value %q is not a number", value)
	}
	return strconv.FormatFloat(2*number, 'f', -1, 64), nil
}
