// Package cost multiplies what workers used by a price list: a YAML file with a
// date and sources, as prices change and differ by region.
package cost
