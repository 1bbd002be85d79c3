// Package crash holds no code of the product: its tests look at the real
// `queuemill up` from outside while it is killed with kill -9 again and again,
// and at what it says of data directories it can't use.
//
//	go test -race ./test/crash -run Kill -kills 200 -messages 10000 -seed 42 -v
package crash
