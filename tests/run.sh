#!/bin/sh
# Builds and runs the suites; the last line adds them up: N passed, N failed[, N skipped]
#
#   tests/run.sh [unit] [san] [sim] [fuzz] [lab]      (all of them); BUILD= as for make; LAB_JOBS= lab tests at a time (2)
#
# san is the unit suite and a part of the lab again, built with AddressSanitizer, UBSan and the leak checker; the simulation has its own.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
export BUILD HACTL="${HACTL:-$BUILD/hactl}"
passed=0 failed=0 skipped=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM

# count WORD: the number before that word in the suite's closing line
count() {
	tail -n 2 "$out" | grep -oE "[0-9]+ $1" | tail -n 1 | grep -oE '[0-9]+' || echo 0
}

# add NAME STATUS PASSED FAILED SKIPPED: a program that ends badly without a failed test, or ran none, is a failure of its own
add() {
	f=$4
	[ "$2" = 0 ] || [ "$f" != 0 ] || f=1
	[ "$3" != 0 ] || [ "$f" != 0 ] || f=1
	passed=$((passed + $3)) failed=$((failed + f)) skipped=$((skipped + $5))
	[ "$f" = 0 ] || echo "FAILED: $1 (exit status $2)"
}

# programs FOLDER LABEL: every unit test program built there
programs() {
	for src in tests/unit/test_*.c; do
		name=$(basename "$src" .c)
		if [ ! -x "$1/$name" ]; then
			echo "$2/$name does not build"
			add "$2/$name" 1 0 1 0
			continue
		fi
		timeout 600 "$1/$name" >"$out" 2>&1
		status=$?
		ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$out" | awk '{n += $1} END {print n + 0}')
		bad=$(sed -n 's/^\[  FAILED  \] [^0-9]*\([0-9][0-9]*\) test(s).*/\1/p' "$out" | awk '{n += $1} END {print n + 0}')
		left=$(sed -n 's/^\[  SKIPPED \] [^0-9]*\([0-9][0-9]*\) test(s).*/\1/p' "$out" | awk '{n += $1} END {print n + 0}')
		if [ "$status" = 0 ]; then echo "$2/$name: $ok passed"; else cat "$out"; fi
		add "$2/$name" "$status" "$ok" "$bad" "$left"
	done
}

unit() {
	make -s -k -j"$(nproc)" "BUILD=$BUILD" unit-build
	programs "$BUILD/unit" unit
}

san() {
	make -s -k -j"$(nproc)" "BUILD=$BUILD" SAN=1 all unit-build
	programs "$BUILD/san/unit" san
	suite "lab with sanitizers" env "HACTL=$BUILD/san/hactl" $pytest -n "$jobs" tests/lab/test_takeover.py tests/lab/test_planned.py -k "not MySQL and not DNAT"
}

# a suite that prints its own "N passed, N failed"
suite() {
	name=$1
	shift
	{ "$@" 2>&1; echo "exit status $?"; } | tee "$out" | grep -v '^exit status [0-9]*$'
	status=$(sed -n 's/^exit status \([0-9]*\)$/\1/p' "$out" | tail -n 1)
	add "$name" "${status:-1}" "$(count passed)" "$(($(count failed) + $(count error)))" "$(count skipped)"
}

sim() {
	suite sim make -s "BUILD=$BUILD" sim
	suite "sim, each rule taken away" make -s "BUILD=$BUILD" sim-broken
	suite "sim with sanitizers" make -s "BUILD=$BUILD" SAN=1 SIM_SEEDS=3000 sim
}

fuzz() { suite fuzz make -s "BUILD=$BUILD" FUZZ_SECONDS=5 fuzz; }

jobs=${LAB_JOBS:-2}
pytest="/usr/bin/python3 -m pytest -q -rs -p no:cacheprovider"
# a test waits most of its time, and has namespaces and servers of its own: several run side by side
lab() { suite lab $pytest -n "$jobs" tests/lab; }

make -s -j"$(nproc)" "BUILD=$BUILD" all || exit 1
for s in ${*:-unit sim fuzz lab san}; do
	echo "== $s"
	$s
done
if [ "$skipped" = 0 ]; then echo "$passed passed, $failed failed"; else echo "$passed passed, $failed failed, $skipped skipped"; fi
[ "$failed" = 0 ] && [ "$passed" != 0 ]
