"""Cleans up after a pair however its owner ended, SIGKILL included.

    janitor.py TAG DIR      waits until its standard input closes, then ends every process in the network namespaces
                            whose names begin with TAG, removes those namespaces and DIR

It runs in a session of its own, so that a Ctrl-C at the terminal does not reach it before its work is done.
"""
import os
import shutil
import signal
import subprocess
import sys
import time

NETNS = "/run/netns"


def namespaces(tag):
    try:
        return sorted(n for n in os.listdir(NETNS) if n.startswith(tag))
    except FileNotFoundError:
        return []


def pids_in(names):
    """Live processes of these network namespaces; a zombie has no namespace any more."""
    inodes = set()
    for name in names:
        try:
            inodes.add(os.stat(f"{NETNS}/{name}").st_ino)
        except FileNotFoundError:
            pass
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino in inodes:
                found.append(int(pid))
        except OSError:
            pass
    return found


def signal_all(names, sig):
    pids = pids_in(names)
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass
    return pids


def wait_stopped(pid, bound=5.0):
    """Until every thread of it stands still (or it is gone): a signal that was sent has not yet been obeyed."""
    end = time.monotonic() + bound
    while time.monotonic() < end:
        try:
            states = {open(f"/proc/{pid}/task/{t}/stat", encoding="utf-8").read().rsplit(")", 1)[1].split()[0]
                      for t in os.listdir(f"/proc/{pid}/task")}
        except (FileNotFoundError, ProcessLookupError):
            return
        if states <= {"T", "t", "Z", "X", "D"}:  # D: in the kernel, stopped before it runs a line of its own again
            return
        time.sleep(0.001)


def kill_all(names, bound=5.0):
    """Stops first, so that nothing acts on another's death; then kills until nobody is left."""
    signal_all(names, signal.SIGSTOP)
    end = time.monotonic() + bound
    while signal_all(names, signal.SIGKILL) and time.monotonic() < end:
        time.sleep(0.005)


def clean(tag, directory):
    names = namespaces(tag)
    kill_all(names)
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, signal.SIG_IGN)
    sys.stdin.read()
    clean(sys.argv[1], sys.argv[2])
