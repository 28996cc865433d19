#!/bin/sh
# Starts what a wrapper asks for by Java's class name: runclass.sh CLASS ARGUMENTS.
. "$(dirname "$(readlink -f "$0")")/../bin/rocketmq.sh"
run_class "$@"
