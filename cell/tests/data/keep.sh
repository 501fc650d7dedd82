#!/bin/sh
# Keeps a data directory of a version for the versions after it: sh keep.sh PROGRAM LEVEL writes level-LEVEL.tar.gz beside this file.
#
# It has the demo tenant with a changed and a deleted task and a collection with a unique field, an index and a rule; one part of it is in
# the stores, the rest, from a process that was killed, in the log alone. level-LEVEL/export.jsonl says what the tenant has.
set -eu
program=$1 level=$2 here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kept=$work/level-$level data=$work/level-$level/data
mkdir -p "$kept"

start() {
    : >"$work/out"
    "$program" dev --data "$data" --port 0 >"$work/out" 2>"$work/err" &
    pid=$!
    until grep -q 'curl ' "$work/out"; do kill -0 $pid && sleep 0.1; done
    url=$(grep -o 'http://127.0.0.1:[0-9]*' "$work/out" | head -n 1)
    token=$(sed -n 's/^demo=//p' "$data/dev.tokens")
}
ask() { # METHOD PATH [BODY]
    curl -sS --fail-with-body -X "$1" -H "Authorization: Bearer $token" -H 'content-type: application/json' \
        "$url/v1/tenants/demo/$2" ${3:+-d "$3"}
}
create() { ask POST "records/$1" "$2" | sed 's/.*"id":"\([^"]*\)".*/\1/'; }

start
changed=$(create tasks '{"fields":{"title":"kept"}}')
ask PATCH "records/tasks/$changed" '{"fields":{"title":"kept and changed"}}' >/dev/null
ask DELETE "records/tasks/$(create tasks '{"fields":{"title":"to go"}}')" >/dev/null
kill -TERM $pid
wait $pid

start
ask PUT collections/notes '{"fields":{"text":{"type":"text","unique":true},"size":{"type":"integer"}},
  "indexes":{"by_size":{"fields":["size"]}},"rules":{"create":"new.size < 100"}}' >/dev/null
for number in 1 2 3; do create notes "{\"fields\":{\"text\":\"note $number\",\"size\":$number}}" >/dev/null; done
"$program" tenant export demo --url "$url" --token "$token" >"$kept/export.jsonl"
kill -KILL $pid
wait $pid || true

# Certificates end, and are made anew; locks belong to processes.
rm -rf "$data/tls"
find "$data" -name '*.lock' -o -name lock -o -name LOCK | xargs rm -f
tar -C "$work" --sparse --owner=0 --group=0 -czf "$here/level-$level.tar.gz" "level-$level"
wc -c "$here/level-$level.tar.gz"
