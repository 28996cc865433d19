#!/bin/sh
# Starts what a wrapper asks for by Java's class name: runbroker.sh CLASS ARGUMENTS.
. "$(dirname "$(readlink -f "$0")")/rocketmq.sh"
run_class "$@"
