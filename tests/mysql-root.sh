#!/bin/sh
# Unpacks a database server of another Debian release into a private root, for the suites that speak its dialect, and prints the root's
# path. Nothing of it is installed on this machine. Unpacked once under the build folder; run as root.
#
#   tests/mysql-root.sh [DIR]            MySQL of Debian unstable; then: chroot DIR /usr/sbin/mysqld --no-defaults ...
#   tests/mysql-root.sh DIR mariadb      MariaDB 11.8 of Debian 13; then: DIR/as-own COMMAND... runs that command where its programs stand in
#                                        place of this machine's own, and see this machine's folders under their own names. From 11.4 on a
#                                        server without a certificate makes itself one at every start: seconds on a busy machine
set -eu
what=${2:-mysql}
dir=${1:-${BUILD:-build}/$what-root}
case $what in
mysql) release=sid server=mysqld packages=mysql-server-core,mysql-client-core ;;
mariadb) release=trixie server=mariadbd packages=mariadb-server-core,mariadb-client,mariadb-backup,dash,coreutils,sed,grep,hostname ;;
*) echo "usage: tests/mysql-root.sh [DIR [mysql|mariadb]]" >&2; exit 2 ;;
esac
if [ -x "$dir/usr/sbin/$server" ]; then
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
mmdebstrap --quiet --aptopt='Acquire::Check-Valid-Until "false"' --variant=extract "--include=$packages" "$release" "$work" "$mirror" \
	>"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; exit 1; }
for d in bin sbin lib lib64; do
	[ -e "$work/$d" ] || ln -s "usr/$d" "$work/$d"
done
mkdir -p "$work/tmp" && chmod 1777 "$work/tmp"
[ -e "$work/etc/passwd" ] || echo 'root:x:0:0:root:/root:/bin/sh' >"$work/etc/passwd"
[ -e "$work/etc/hosts" ] || echo '127.0.0.1 localhost' >"$work/etc/hosts" # mariadb-install-db looks it up
chroot "$work" "/usr/sbin/$server" --version >&2

# programs ROOT FINAL PROGRAM...: each enters the root, where this machine's folders of data and of processes lie under their own names
# (servers, scripts), or runs from there by the root's own loader, which takes no privilege (tools: hactl runs them without any)
programs() {
	root=$1 final=$2
	shift 2
	mkdir -p "$root/programs"
	for program; do
		cat >"$root/programs/$program" <<-END
			#!/bin/sh
			exec unshare --mount --propagation private sh -c 'for d in /*; do
			case \$d in /usr|/bin|/sbin|/lib*|/etc|/var|/boot) continue ;; esac
			[ ! -d "\$d" ] || { mkdir -p "$final\$d" && mount --rbind "\$d" "$final\$d"; } || exit
			done
			exec env PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$final" $program "\$@"' $program "\$@"
		END
	done
	for program in mariadb-binlog mariadb-backup mbstream mariadb mariadb-admin; do
		cat >"$root/programs/$program" <<-END
			#!/bin/sh
			exec "$final"/lib64/ld-linux-*.so.* --library-path "\$(echo "$final"/usr/lib/*-linux-gnu)" "$final/usr/bin/$program" "\$@"
		END
	done
	cat >"$root/as-own" <<-END
		#!/bin/sh
		exec unshare --mount --propagation private sh -c 'for p in "$final"/programs/*; do
		own=\$(command -v "\${p##*/}") && mount --bind "\$p" "\$(readlink -f "\$own")" || exit
		done
		exec "\$@"' as-own "\$@"
	END
	chmod 755 "$root/as-own" "$root"/programs/*
}
final=$(cd "$(dirname "$dir")" && pwd)/$(basename "$dir")
[ "$what" = mysql ] || programs "$work" "$final" mariadbd mariadb-install-db
mv -T "$work" "$dir" 2>/dev/null || [ -x "$dir/usr/sbin/$server" ]
echo "$dir"
