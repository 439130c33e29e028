/* own_echo.c - a socket filter on the port id of a datagram's first message; one datagram holds the echo of one request. */
#include "vip/own_echo.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <sys/socket.h>

int own_echo_drop(int fd, uint32_t portid)
{
	struct sock_filter code[] = {
		/* the filter loads big-endian words; the kernel wrote the field in host order */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(portid), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog prog = { ARRAY_LEN(code), code };
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}
