#!/bin/sh
# Builds and runs the suites; the last line adds them up: N passed, N failed[, N skipped]
#
#   tests/run.sh [unit] [san] [sim] [fuzz] [lab]      (all of them); BUILD= as for make; LAB_JOBS= lab tests at a time (2)
#
# With all of them the simulation and the sanitizers' build run beside the lab, on the processor time that it leaves (SCHED_IDLE): its tests
# wait more than they compute. BESIDE=no: one after the other; so it is as well where a quota, not the processors, limits us.
# san is the unit suite and a part of the lab again, built with AddressSanitizer, UBSan and the leak checker; the simulation has its own.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
export BUILD HACTL="${HACTL:-$BUILD/hactl}"
passed=0 failed=0 skipped=0 aside_pid=

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

# programs FOLDER LABEL: every unit test program built there, two at a time, those with real servers first: they wait for these
programs() {
	{
		ls -r tests/unit/test_re*.c tests/unit/test_vip_*.c
		ls tests/unit/test_*.c
	} | awk '!seen[$0]++' | xargs -n 1 -P 2 sh -c '
		name=$(basename "$3" .c)
		[ ! -x "$1/$name" ] || timeout 600 "$1/$name" >"$2-$name.out" 2>&1
		echo $? >"$2-$name.status"' sh "$1" "$aside/$2"
	for src in tests/unit/test_*.c; do
		name=$(basename "$src" .c)
		if [ ! -x "$1/$name" ]; then
			echo "$2/$name does not build"
			add "$2/$name" 1 0 1 0
			continue
		fi
		cp "$aside/$2-$name.out" "$out"
		status=$(cat "$aside/$2-$name.status" 2>/dev/null || echo 1)
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

san_build() { make -s -k -j"$(nproc)" "BUILD=$BUILD" SAN=1 all unit-build; }

san() {
	[ -z "$aside_pid" ] || wait "$aside_pid"
	aside_pid=
	san_build
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

simulate() {
	case $1 in
	all) make -s "BUILD=$BUILD" sim ;;
	broken) make -s "BUILD=$BUILD" sim-broken ;;
	san) make -s "BUILD=$BUILD" SAN=1 SIM_SEEDS=3000 sim ;;
	esac
}

# run beside, when it was: shown and counted here
simulated() {
	while [ -n "$aside_pid" ] && [ ! -e "$aside/$1.status" ] && kill -0 "$aside_pid" 2>/dev/null; do sleep 1; done
	if [ -e "$aside/$1.status" ]; then suite "$2" sh -c 'cat "$1"; exit "$(cat "$2")"' sh "$aside/$1" "$aside/$1.status"; else suite "$2" simulate "$1"; fi
}

sim() {
	simulated all sim
	simulated broken "sim, each rule taken away"
	simulated san "sim with sanitizers"
}

# Started by ourselves, with nobody else's time: a task of this class runs where a processor would stand still.
beside() {
	for s in all broken san; do
		simulate $s >"$aside/$s" 2>&1
		echo $? >"$aside/$s.new"
		mv "$aside/$s.new" "$aside/$s.status"
	done
	san_build >/dev/null 2>&1 # what is wrong is said when it is built again
}

alone() {
	[ "${BESIDE:-yes}" != no ] && command -v chrt >/dev/null &&
		case $(cat /sys/fs/cgroup/cpu.max 2>/dev/null || echo max) in max*) ;; *) return 1 ;; esac &&
		[ "$(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || echo -1)" = -1 ]
}

fuzz() { suite fuzz make -s -j"$(nproc)" "BUILD=$BUILD" FUZZ_SECONDS=5 fuzz; }

jobs=${LAB_JOBS:-2}
pytest="/usr/bin/python3 -m pytest -q -rfEs -p no:cacheprovider"
# a test waits most of its time, and has namespaces and servers of its own: several run side by side
lab() { suite lab $pytest -n "$jobs" tests/lab; }

if [ "${1:-}" = beside ]; then
	aside=$2
	beside
	exit
fi
out=$(mktemp)
aside=$(mktemp -d) # of what runs beside: its output and its end
trap 'rm -rf "$out" "$aside"; [ -z "$aside_pid" ] || kill -- "-$aside_pid" 2>/dev/null' EXIT
trap 'exit 1' HUP INT TERM

make -s -j"$(nproc)" "BUILD=$BUILD" all || exit 1
for s in ${*:-unit fuzz lab sim san}; do
	if [ $# = 0 ] && [ "$s" = lab ] && alone; then
		setsid chrt --idle 0 tests/run.sh beside "$aside" &
		aside_pid=$!
	fi
	echo "== $s"
	$s
done
if [ "$skipped" = 0 ]; then echo "$passed passed, $failed failed"; else echo "$passed passed, $failed failed, $skipped skipped"; fi
[ "$failed" = 0 ] && [ "$passed" != 0 ]
