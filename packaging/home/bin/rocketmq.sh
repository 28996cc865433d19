# Read by the commands beside it: finds the program and takes over what Java's scripts take from JAVA_OPT.
here=$(cd "$(dirname "$0")" && pwd)
program=${ROCKETMQ_PROGRAM:-$here/rocketmq}
[ -x "$program" ] || program=rocketmq
heap=
for word in $JAVA_OPT; do
  case $word in
    -Duser.home=*) HOME=${word#-Duser.home=} && export HOME ;;
    -Drocketmq.namesrv.addr=*) NAMESRV_ADDR=${word#-Drocketmq.namesrv.addr=} && export NAMESRV_ADDR ;;
    -X* | -server) heap=1 ;;
  esac
done
[ -z "$heap" ] || echo "rocketmq: heap and machine flags of JAVA_OPT mean nothing here" >&2
