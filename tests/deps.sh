#!/bin/sh
# Installs the Debian packages that hactl is built and tested with; only those that are missing, and says which.
#
#   tests/deps.sh build     what `make` needs
#   tests/deps.sh all       and what `make test` and `make demo` run (the default)
set -eu

build="gcc libc6-dev make pkg-config default-libmysqlclient-dev libhiredis-dev libcurl4-openssl-dev libconfig-dev libnl-3-dev
libnl-route-3-dev libsystemd-dev libjansson-dev libmicrohttpd-dev libssl-dev libmnl-dev libnftnl-dev libnftables-dev libcap-dev"

# the servers of a pair and what the suites are written in
test="libcmocka-dev clang libclang-rt-dev mandoc nftables iptables iproute2 procps mariadb-server redis-server nginx-light haproxy keepalived
mariadb-client mariadb-backup openssh-server openssh-client
etcd-server etcd-client python3-pytest python3-pytest-xdist python3-pymysql python3-redis python3-grpcio iputils-arping mmdebstrap openssl fence-agents"

case "${1:-all}" in
build) wanted=$build ;;
all) wanted="$build $test" ;;
*) echo "usage: tests/deps.sh [build|all]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "deps: this is not a Debian system; hactl is built with what these packages hold:" $wanted >&2
	exit 1
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
missing=
for p in $wanted; do
	printf '%s\n' "$installed" | grep -Fqx "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: run as root, or install:$missing" >&2
	exit 1
fi
echo "deps: installing$missing"

# Debian starts a server when it installs one. On this machine nothing of the lab may run outside its namespaces.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
ours=
clean() {
	rm -f "$log"
	[ -z "$ours" ] || rm -f "$policy"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$policy" ]; then
	ours=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
quietly() {
	"$@" >"$log" 2>&1 </dev/null && return
	echo "deps: this failed: $*" >&2
	tail -n 25 "$log" >&2
	return 1
}
quietly apt-get -o DPkg::Lock::Timeout=300 update || echo "deps: going on with the package lists that are here" >&2
# shellcheck disable=SC2086
quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing
echo "deps: installed $(printf '%s\n' $missing | wc -l) packages and what they need"
