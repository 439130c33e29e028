# bash completion for hactl(8)

# Names in the configuration's list $1 ("nodes", "probes"), as far as a line-wise look can tell them.
_hactl_names()
{
	local conf=${_hactl_conf:-/etc/hactl/hactl.conf}

	[ -r "$conf" ] || return
	sed -n "/^[[:space:]]*$1[[:space:]]*=/,/^[[:space:]]*);/p" "$conf" |
		grep -o 'name[[:space:]]*=[[:space:]]*"[^"]*"' | cut -d'"' -f2
}

_hactl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' words='' i _hactl_conf=''
	local common='-c --conf -n --node -s --socket --state-dir --help'

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --conf) _hactl_conf=${COMP_WORDS[++i]} ;;
		-n | --node | -s | --socket | --state-dir | --deadline | --to | --timeout | --source | --since) ((i++)) ;;
		-*) ;;
		*) [ -n "$command" ] || command=${COMP_WORDS[i]} ;;
		esac
	done

	case $prev in
	-c | --conf | -s | --socket | --state-dir | --deadline)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--to | --node) words=$(_hactl_names nodes) ;;
	-n) [ "$command" = events ] && return || words=$(_hactl_names nodes) ;;
	--timeout) words='10s 30s 1m' ;;
	--since) words='1h 24h 7d' ;;
	--source) words=keepalived ;;
	*)
		case $command in
		'') words="$common --version run guard check status switchover switchback failover pause resume events probe keygen
			vip doctor is notify rejoin report" ;;
		run | guard) words="$common --deadline" ;;
		status) words="$common --json --watch" ;;
		switchover) words="$common --to --dry-run --when-quiet --timeout" ;;
		switchback) words="$common --dry-run --when-quiet --timeout" ;;
		failover) words="$common --force --to --timeout" ;;
		events) words='-c -s --state-dir --help --json -n -f' ;;
		probe) words="$common --json $(_hactl_names probes)" ;;
		is) words='primary standby' ;;
		vip) words=release ;;
		notify) words=--source ;;
		rejoin) words="$common --discard-divergent" ;;
		doctor) words="$common --json --grants" ;;
		report) words="$common --since --json" ;;
		keygen)
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
			;;
		*) words=$common ;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _hactl hactl
