#!/bin/sh
# Starts what a wrapper asks for by Java's class name: tools.sh CLASS ARGUMENTS.
here=$(cd "$(dirname "$0")" && pwd)
class=$1
[ $# -eq 0 ] || shift
case $class in
  org.apache.rocketmq.namesrv.NamesrvStartup) exec sh "$here/mqnamesrv" "$@" ;;
  org.apache.rocketmq.broker.BrokerStartup) exec sh "$here/mqbroker" "$@" ;;
  org.apache.rocketmq.tools.command.MQAdminStartup) exec sh "$here/mqadmin" "$@" ;;
esac
echo "$0: there is nothing here for the class '$class'; known are NamesrvStartup, BrokerStartup and MQAdminStartup" >&2
exit 1
