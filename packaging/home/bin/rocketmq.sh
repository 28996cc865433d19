# Read by the commands beside it: finds the program, takes over what Java's scripts take from JAVA_OPT and JAVA_OPT_EXT,
# and knows what stands for a class of Java's.
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
program=${ROCKETMQ_PROGRAM:-$here/../bin/rocketmq}
[ -x "$program" ] || program=rocketmq
heap=

take_over() {
  case $1 in
    -Duser.home=*) HOME=${1#-Duser.home=} && export HOME ;;
    -Drocketmq.namesrv.addr=*) NAMESRV_ADDR=${1#-Drocketmq.namesrv.addr=} && export NAMESRV_ADDR ;;
    -X* | -server | -agent* | -verbose*) heap=1 ;;
  esac
}

for word in $JAVA_OPT $JAVA_OPT_EXT; do
  take_over "$word"
done

# Once, for all commands that a command calls.
note() {
  if [ -n "$heap" ] && [ -z "$ROCKETMQ_NOTED" ]; then
    echo "rocketmq: heap and machine flags of JAVA_OPT mean nothing here" >&2
    ROCKETMQ_NOTED=1 && export ROCKETMQ_NOTED
  fi
}
note

logs() {
  echo "${HOME:?is not set, and logs and store are below it}/logs/rocketmqlogs"
}

# run_class [FLAGS OF A JAVA MACHINE] CLASS ARGUMENTS...
run_class() {
  while :; do
    case $1 in
      -cp | -classpath) shift && shift ;;
      -*) take_over "$1" && shift ;;
      *) break ;;
    esac
  done
  note
  class=$1
  [ $# -eq 0 ] || shift
  case $class in
    org.apache.rocketmq.namesrv.NamesrvStartup) exec "$program" namesrv --log-dir "$(logs)" "$@" ;;
    org.apache.rocketmq.broker.BrokerStartup) exec "$program" broker --log-dir "$(logs)" "$@" ;;
    org.apache.rocketmq.tools.command.MQAdminStartup) exec "$program" admin "$@" ;;
    org.apache.rocketmq.example.quickstart.Producer) exec "$program" example producer "$@" ;;
    org.apache.rocketmq.example.quickstart.Consumer) exec "$program" example consumer "$@" ;;
    org.apache.rocketmq.example.benchmark.Producer) exec "$program" bench producer "$@" ;;
    org.apache.rocketmq.example.benchmark.Consumer) exec "$program" bench consumer "$@" ;;
    '') echo "$0: give a class of Java's, such as org.apache.rocketmq.broker.BrokerStartup" >&2 ;;
    *)
      echo "$0: there is nothing here for the class '$class'; known are NamesrvStartup, BrokerStartup, MQAdminStartup, and" \
        "Producer and Consumer of org.apache.rocketmq.example.quickstart and benchmark" >&2
      ;;
  esac
  exit 1
}
