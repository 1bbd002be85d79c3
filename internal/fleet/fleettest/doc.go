// Package fleettest holds the suite that every provider of fleet.Fleet passes.
package fleettest
