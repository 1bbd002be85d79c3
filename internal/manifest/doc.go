// Package manifest reads YAML and JSON files into the kinds of api/v1alpha1.
//
// Decoding is strict, and every error names file, line and field: who writes a
// manifest learns of all that is wrong with it at once, not one thing a time.
// So documents are read into YAML nodes, which know their lines, and are checked
// against the Go types before they become values of them.
package manifest
