# SPDX-License-Identifier: MIT
"""Leaves things behind, with nothing but the system's own calls and programs.

leave.py hold KIND NAME...    makes them, says "made" and waits for a line of input
leave.py child KIND NAME...   the same, but a child makes them, and is gone by then
leave.py make KIND NAME...    makes them and ends
leave.py undo KIND NAME...    removes those that are there
leave.py process SORT TAG [CGROUP]   leaves processes that have TAG among their arguments
leave.py daemon KIND NAME     leaves a daemon that holds a socket, or an open file; tells its name
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib

libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
CREATE = os.O_CREAT | os.O_EXCL | os.O_RDWR
IPC_CREAT, IPC_EXCL, IPC_RMID = 0o1000, 0o2000, 0


def check(result, *wrong):
    if result in (wrong or (-1,)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def key_of(name):
    return (zlib.crc32(name.encode()) & 0x3fffffff) | 0x40000000


def sysv(table, name):
    """The ids of what has the key that belongs to a name."""
    with open(f"/proc/sysvipc/{table}") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [int(row[1]) for row in rows if int(row[0]) & 0xffffffff == key_of(name)]


def mounted(path):
    with open("/proc/self/mountinfo") as file:
        return [line for line in file if line.split()[4] == path]


def loops(path):
    out = subprocess.run(["losetup", "-n", "-O", "NAME", "-j", path], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True)
    return out.stdout.split()


# ---- making --------------------------------------------------------------------------------------


def make_shm(name):
    os.write(check(libc.shm_open(b"/" + name.encode(), CREATE, 0o600)), b"x" * 5000)


def make_semaphore(name):
    check(libc.sem_open(b"/" + name.encode(), CREATE, 0o600, 1), None)


def make_mqueue(name):
    """A small one: how many bytes a user may have in all queues is limited."""
    attributes = (ctypes.c_long * 8)(0, 1, 1)
    check(libc.mq_open(b"/" + name.encode(), CREATE, 0o600, attributes))


def make_sysv_shm(name):
    check(libc.shmget(key_of(name), 4096, IPC_CREAT | IPC_EXCL | 0o600))


def make_sysv_sem(name):
    check(libc.semget(key_of(name), 1, IPC_CREAT | IPC_EXCL | 0o600))


def make_sysv_msg(name):
    check(libc.msgget(key_of(name), IPC_CREAT | IPC_EXCL | 0o600))


def make_file(path):
    os.close(os.open(path, CREATE, 0o600))


def make_fifo(path):
    run("mkfifo", path)


def make_mount(path):
    """A mount in a mount."""
    os.mkdir(path)
    run("mount", "-t", "tmpfs", "-o", "size=64k", "outer", path)
    os.mkdir(path + "/inner")
    run("mount", "-t", "tmpfs", "-o", "size=64k", "inner", path + "/inner")
    with open(path + "/inner/file", "w") as file:
        file.write("text")


def make_loop(path):
    """Alone: of two that are given the same free device the loser writes last, and so nothing proves
    any more whose it is. tests/cleanroom/loop.c waits here, too."""
    run("truncate", "-s", "1M", path)
    with open("/dev/loop-control") as control:
        fcntl.flock(control, fcntl.LOCK_EX)
        run("losetup", "-f", path)


def make_netns(name):
    run("ip", "netns", "add", name)


def make_link(name):
    run("ip", "link", "add", name, "type", "bridge")


# ---- undoing -------------------------------------------------------------------------------------


def undo_mount(path):
    for inner in (path + "/inner", path):
        if mounted(inner):
            run("umount", inner)
    os.rmdir(path)


def undo_loop(path):
    for device in loops(path):
        run("losetup", "-d", device)
    os.unlink(path)


def undo_shm(name):
    check(libc.shm_unlink(b"/" + name.encode()))


def undo_semaphore(name):
    check(libc.sem_unlink(b"/" + name.encode()))


def undo_mqueue(name):
    check(libc.mq_unlink(b"/" + name.encode()))


def undo_sysv_shm(name):
    for number in sysv("shm", name):
        run("ipcrm", "-m", str(number))


def undo_sysv_sem(name):
    for number in sysv("sem", name):
        run("ipcrm", "-s", str(number))


def undo_sysv_msg(name):
    for number in sysv("msg", name):
        run("ipcrm", "-q", str(number))


def undo_netns(name):
    run("ip", "netns", "del", name)


def undo_link(name):
    run("ip", "link", "del", name)


# ---- is it there? --------------------------------------------------------------------------------


def is_there(kind, name):
    if kind == "mqueue":
        queue = libc.mq_open(b"/" + name.encode(), os.O_RDONLY)
        if queue >= 0:
            os.close(queue)
        return queue >= 0
    if kind.startswith("sysv-"):
        return sysv(kind[5:], name) != []
    if kind == "mount":
        return mounted(name) != [] and os.path.exists(name + "/inner/file")
    if kind == "loop":
        return loops(name) != []
    where = {"shm": "/dev/shm/", "semaphore": "/dev/shm/sem.", "netns": "/run/netns/",
             "link": "/sys/class/net/"}.get(kind, "")
    return os.path.lexists(where + name)


# ---- processes -----------------------------------------------------------------------------------


def detach():
    """A child that nobody knows any more: forked twice, in a session of its own."""
    if os.fork():
        os.wait()
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True


def stay():
    os.close(0)
    while True:
        libc.pause()


def process_daemon(ready):
    if detach():
        ready()
        stay()


def process_deaf(ready):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ready()
        stay()


def process_escapee(ready):
    if os.fork() == 0:
        os.setsid()
        ready()
        stay()


def process_stopped(ready):
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        stay()
    os.waitpid(pid, os.WUNTRACED)
    ready()


def process_storm(ready):
    """Those that are replaced by their children all the time: whoever is looked at is gone."""
    for _ in range(2):
        if os.fork() == 0:
            ready()
            while True:
                if os.fork():
                    os._exit(0)
    ready()


def process_crowd(ready):
    """A tree of 255, each the child of another."""
    for _ in range(8):
        if os.fork() == 0:
            continue  # and forks the rest itself
    ready()
    if os.getpid() != FIRST:
        stay()


def process_bare(ready):
    """It leaves its cgroup, its session and its parent, and has no environment."""
    if not detach():
        return
    if len(sys.argv) > 4:
        with open(sys.argv[4] + "/cgroup.procs", "w") as file:
            file.write("0")
    os.set_inheritable(1, False)  # that it is closed tells that this is done
    os.execve("/bin/sleep", [sys.argv[3], "1000"], {})


def process_vforked(ready):
    """A parent in uninterruptible sleep, as ps(1) has it: its child does not come to execute."""
    fifo = os.path.join(tempfile.mkdtemp(), "fifo")
    run("mkfifo", fifo)
    parent = os.fork()
    if parent == 0:
        os.posix_spawn("/bin/true", [sys.argv[3]], {},
                       file_actions=[(os.POSIX_SPAWN_OPEN, 3, fifo, os.O_RDONLY, 0)])
    deadline = time.monotonic() + 20
    while state_of(parent) != "D" or state_of(child_of(parent)) != "S":
        assert time.monotonic() < deadline, state_of(parent)
        time.sleep(0.001)
    os.unlink(fifo)
    os.rmdir(os.path.dirname(fifo))
    ready()


def state_of(pid):
    """As in /proc/PID/stat; "X": there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return (file.read().split() or [0])[0]


FIRST = os.getpid()
# How often what a sort leaves says that it is as it should be.
READY = {"storm": 3, "crowd": 256}


def leave_process(sort):
    """Ends when what it leaves is as it should be."""
    read, write = os.pipe()
    os.dup2(write, 1)
    os.close(write)
    globals()["process_" + sort](lambda: os.write(1, b"."))
    if os.getpid() != FIRST:
        os._exit(0)
    os.close(1)
    for _ in range(READY.get(sort, 1)):
        assert os.read(read, 1) == (b"" if sort == "bare" else b".")


# ---- sockets, and files that are open ------------------------------------------------------------


def hold_socket(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    return server


def hold_abstract(name):
    return hold_socket("\0" + name)


def hold_port(name):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def hold_deleted(path):
    file = open(path, "wb")
    file.write(b"x" * 1000000)
    file.flush()
    os.unlink(path)
    return file


def hold(kind, name):
    read, write = os.pipe()
    if not detach():
        os.close(write)
        os.write(1, os.read(read, 100))
        return
    kept = globals()["hold_" + kind](name)
    told = f"127.0.0.1:{kept.getsockname()[1]}" if kind == "port" else name
    os.write(write, (told + "\n").encode())
    os.close(write)
    for fd in (1, 2):
        os.close(fd)
    stay()


# ---- the program ---------------------------------------------------------------------------------


def make(pairs):
    for kind, name in pairs:
        globals()["make_" + kind.replace("-", "_")](name)


def undo(kind, name):
    function = globals().get("undo_" + kind.replace("-", "_"))
    if is_there(kind, name) or kind in ("mount", "loop") and os.path.lexists(name):
        (function or os.unlink)(name)


def main(how, *arguments):
    pairs = list(zip(arguments[::2], arguments[1::2]))
    if how == "process":
        return leave_process(arguments[0])
    if how == "daemon":
        return hold(*arguments)
    if how == "undo":
        for kind, name in pairs:
            undo(kind, name)
        return None
    if how == "child":
        pid = os.fork()
        if pid == 0:
            make(pairs)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    else:
        make(pairs)
    print("made", flush=True)
    if how != "make":
        sys.stdin.readline()
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
