#!/bin/sh
# What the simulator says of the three loads, in thirtieth size, for five seeds: the
# inputs are these lines, the results stand in simulated.jsonl and were written down
# before the loads were run in real time.
set -eu
cd "$(dirname "$0")"
q=${QUEUEMILL:-queuemill}
for seed in 1 2 3 4 5; do
	$q simulate -f pool-30th.yaml --service 4s --seed $seed -o jsonl --burst 100
	$q simulate -f pool-30th.yaml --service 4s --seed $seed -o jsonl --steady 150/m --for 4m
	$q simulate -f pool-30th.yaml --service 4s --seed $seed -o jsonl --alternate 60/m,600/m --every 20s --for 80s
done
