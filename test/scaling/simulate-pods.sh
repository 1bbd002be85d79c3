#!/bin/sh
# What the simulator says of seed 1 of the three loads in pods. How long a pod takes
# to start was measured before, by TestPodStartUp: 1.48 s by itself, from its creation
# to its first message, and 4.01 s on average when nine are created at once. The burst
# creates nine at once, the others one or two, four once. The results stand in
# simulated-pods.jsonl and were written down before the loads were run in pods.
set -eu
cd "$(dirname "$0")"
q=${QUEUEMILL:-queuemill}
$q simulate -f pool-pods.yaml --service 4s --seed 1 -o jsonl --start-up 4010ms --burst 100
$q simulate -f pool-pods.yaml --service 4s --seed 1 -o jsonl --start-up 1480ms --steady 150/m --for 4m
$q simulate -f pool-pods.yaml --service 4s --seed 1 -o jsonl --start-up 1480ms --alternate 60/m,600/m --every 20s --for 80s
