#!/bin/sh
# Unpacks the newest MySQL server of Debian unstable into a private root, for the suites that speak MySQL's dialect, and prints the
# root's path. Nothing of it is installed on this machine. Unpacked once under the build folder; run as root.
#
#   tests/mysql-root.sh [DIR]       then: chroot DIR /usr/sbin/mysqld --no-defaults --initialize-insecure --user=root ...
set -eu
dir=${1:-${BUILD:-build}/mysql-root}
if [ -x "$dir/usr/sbin/mysqld" ]; then
	echo "$dir"
	exit 0
fi
# the mirror this machine's own package sources name
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)
[ -n "$mirror" ] || { echo "mysql-root: no Debian mirror among this machine's package sources" >&2; exit 1; }
work="$dir.$$"
log=$(mktemp)
trap 'rm -rf "$work" "$log"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$(dirname "$dir")"
mmdebstrap --quiet --aptopt='Acquire::Check-Valid-Until "false"' --variant=extract --include=mysql-server-core,mysql-client-core \
	sid "$work" "$mirror" >"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; exit 1; }
for d in bin sbin lib lib64; do
	[ -e "$work/$d" ] || ln -s "usr/$d" "$work/$d"
done
mkdir -p "$work/tmp" && chmod 1777 "$work/tmp"
chroot "$work" /usr/sbin/mysqld --version >&2
mv -T "$work" "$dir" 2>/dev/null || [ -x "$dir/usr/sbin/mysqld" ]
echo "$dir"
