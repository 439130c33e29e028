#!/bin/sh
# Runs each fuzz target for SECONDS and adds up: "N passed, N failed". A finding stays in the target's folder as crash-*.
#
#   tests/fuzz/run.sh SECONDS TARGET...
seconds=$1
shift
passed=0 failed=0
for t in "$@"; do
	dir=$(dirname "$t")/$(basename "$t")-run
	mkdir -p "$dir"
	if "$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$dir/" "$dir" >"$dir.log" 2>&1; then
		echo "$(basename "$t"): $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs, nothing found/p' "$dir.log")"
		passed=$((passed + 1))
	else
		tail -n 40 "$dir.log"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
