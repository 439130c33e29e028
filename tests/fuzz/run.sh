#!/bin/sh
# Runs each fuzz target for SECONDS, two at a time, and adds up: "N passed, N failed". A finding stays in the target's folder as crash-*.
#
#   tests/fuzz/run.sh SECONDS TARGET...
seconds=$1
shift
passed=0 failed=0
printf '%s\n' "$@" | xargs -n 1 -P 2 sh -c '
	mkdir -p "$2-run"
	"$2" -max_total_time="$1" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$2-run/" "$2-run" >"$2-run.log" 2>&1
	echo $? >"$2-run.status"' sh "$seconds"
for t in "$@"; do
	dir=$(dirname "$t")/$(basename "$t")-run
	if [ "$(cat "$dir.status")" = 0 ]; then
		echo "$(basename "$t"): $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs, nothing found/p' "$dir.log")"
		passed=$((passed + 1))
	else
		tail -n 40 "$dir.log"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
