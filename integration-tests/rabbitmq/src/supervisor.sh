# Runs one RabbitMQ for a test's process, and no longer than that process lives: standard input is a
# pipe from it, and when that is closed, for whatever reason, everything here ends. Being the parent
# of all it started, it never signals a process that is not its own.
#
# Says its directory, then obeys: "start" is answered by the process's number, "end" by "ended".

set -u
umask 077
dir=$(mktemp -d "${TMPDIR:-/tmp}/rabbitmq-node.XXXXXX") || exit 1
# The Erlang shell of the broker reads from here.
mkfifo "$dir/shell"

epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 </dev/null >/dev/null 2>&1 &
epmd=$!
# An Erlang that finds no epmd starts one that nobody would end.
until epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do :; done

export HOME="$dir" \
    RABBITMQ_CONF_ENV_FILE="$dir/none" \
    RABBITMQ_CONFIG_FILE="$dir/rabbitmq" \
    RABBITMQ_CONFIG_FILES="$dir/none" \
    RABBITMQ_ADVANCED_CONFIG_FILE="$dir/none.config" \
    RABBITMQ_GENERATED_CONFIG_DIR="$dir/generated" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" \
    RABBITMQ_PLUGINS_DIR="$dir/server/plugins" \
    RABBITMQ_PLUGINS_EXPAND_DIR="$dir/expanded" \
    RABBITMQ_SCRIPTS_DIR="$dir/server/sbin" \
    RABBITMQ_MNESIA_BASE="$dir/mnesia" \
    RABBITMQ_LOG_BASE="$dir/log" \
    RABBITMQ_PID_FILE="$dir/pid"

node=
end_node() {
    if [ -n "$node" ]; then
        kill -KILL "$node"
        wait "$node"
        node=
    fi
}

echo "$dir"
while read -r order; do
    case $order in
    start)
        # Open for reading and writing: it blocks nobody and never ends.
        "$dir/server/sbin/rabbitmq-server" <>"$dir/shell" >>"$dir/output" 2>&1 &
        node=$!
        echo "$node"
        ;;
    end)
        end_node
        echo ended
        ;;
    esac
done

end_node
kill "$epmd"
wait
rm -rf "$dir"
