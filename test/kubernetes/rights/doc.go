// Package rights tells from the API server's audit log whether an identity has
// the least rights: every rule used, no request denied, and none allowed by
// anything but the rules that are shipped.
//
// Its tests run the shipped controller under the shipped roles through every
// feature.
package rights
