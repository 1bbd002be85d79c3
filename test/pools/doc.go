// Package pools holds no code of the product: its test looks from outside at
// the workers of a pool while `queuemill up` is killed with kill -9, the pool is
// edited and scaled in, again and again, all with work in hand.
//
//	go test -race ./test/pools -run Shocks -shocks 500 -seed 42 -v
package pools
