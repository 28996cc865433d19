#!/bin/sh
# Java's benchmark of this name, with its flags and its lines. Runs in the background, as Java's; shutdown.sh consumer ends it.
. "$(dirname "$(readlink -f "$0")")/../bin/rocketmq.sh"
(run_class org.apache.rocketmq.example.benchmark.Consumer "$@") &
