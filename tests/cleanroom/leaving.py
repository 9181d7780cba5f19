# SPDX-License-Identifier: MIT
"""What the tests of leftovers share: who leaves things (leave.py), and who looks at them.

Whatever goes wrong, these tests end: every wait has a deadline, and what they started is ended by
its process group or its arguments, since it holds none of their streams."""

import functools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile

import leave
import tap
import tool
from tap import wait_until
from tool import NOBODY, NOBODY_ELSE, Place, is_root

# Unique, and short enough for the name of a link.
TAG = f"cr{os.getpid():x}"
LEAVE = None  # where every user can read it
SECONDS = 60  # in which each step ends; on a quiet machine it takes a tenth of one


def test(function):
    """A test that is ended after a while, however it hangs."""
    @functools.wraps(function)
    def limited():
        def give_up(number, frame):
            raise TimeoutError(f"{function.__name__} does not end")
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(4 * SECONDS)
        try:
            function()
        finally:
            signal.alarm(0)
    tap.TESTS.append(limited)
    return limited


def apart(run):
    """As tool.apart, and with a program that leaves things which every user can read."""
    global LEAVE
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        LEAVE = shutil.copy(leave.__file__, directory)
        os.chmod(LEAVE, 0o644)
        return tool.apart(run)


def hide_mounts():
    """From here on, what is mounted is seen by nobody else: it would be new in their runs."""
    if is_root() and leave.libc.unshare(0x00020000) == 0:  # CLONE_NEWNS
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)


# ---- tiers and users -----------------------------------------------------------------------------


@functools.lru_cache
def doctor(user=None):
    """What there is for a user: the highest tier, and the names of all that is allowed."""
    env = {**os.environ, "PATH": tool.PATH, **tool.state_of(user)}
    run = subprocess.run([tool.TOOL, "doctor", "--json"], stdout=subprocess.PIPE, text=True,
                         timeout=SECONDS, env=env, **as_user(user))
    told = json.loads(run.stdout)
    return told["tier"], {c["name"] for c in told["capabilities"] if c["ok"]}


def levels():
    """(tier, user) of each that there is here."""
    if not is_root():
        return [(0, None)]
    return [(tier, None) for tier in (3, 1, 0) if tier <= doctor()[0]] + [(0, NOBODY)]


def as_user(user):
    return NOBODY_ELSE if user is not None else {}


# ---- running -------------------------------------------------------------------------------------


def outside(*arguments, user=None):
    """What somebody does that has nothing to do with the run; and the process group of that."""
    with tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([tool.PYTHON, LEAVE, *arguments], text=True, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                                   start_new_session=True, env={"PATH": tool.PATH},
                                   **as_user(user))
        out = process.communicate(timeout=SECONDS)[0]
        err.seek(0)
        assert process.returncode == 0, (arguments, err.read())
    return out, process.pid


def read_line(process):
    ready, _, _ = select.select([process.stdout], [], [], SECONDS)
    assert ready, "it says nothing"
    return process.stdout.readline().rstrip("\n")


def end(process, text=""):
    """Gives it its input, and what it said on stderr."""
    return process.communicate(text, timeout=SECONDS)[1]


def run_at(tier, place, command, options=(), user=None, **how):
    """A machine under heavy load may deny for a moment what a tier needs; the report says so, and
    the run is as good at a lower one: then it is told here, and done again."""
    for _ in range(3):
        run = tool.Run(place, command, ["--tier", str(tier), *options], user=user, **how)
        if run.json["tier"] == tier:
            return run
        assert run.json["tier"] < tier and run.json["tier_reason"], run.json
        print(f"# tier {run.json['tier']}: {run.json['tier_reason']}")
    raise AssertionError(run.json["tier_reason"])


# ---- processes by their arguments ----------------------------------------------------------------


def alive(tag):
    """The processes that have this among their arguments."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if entry.isdigit() and tag.encode() in file.read().split(b"\0"):
                    found.append(int(entry))
        except OSError:
            pass
    return found


def group_lives(group):
    """Whether there is anybody in it."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def kill_group(group):
    """At one instant: who forks all the time is gone before it can be killed one by one."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_all(tag):
    """Only ours have this tag: it has our own pid in it."""
    own = os.getpgid(0)

    def ended():
        for pid in alive(tag):
            try:
                group = os.getpgid(pid)
                if group != own:
                    kill_group(group)
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not alive(tag)
    wait_until(ended, f"the processes of {tag} to end")


__all__ = ["LEAVE", "SECONDS", "TAG", "Place", "alive", "apart", "as_user", "doctor", "end",
           "end_all", "kill_group", "levels", "outside", "read_line", "run_at", "test"]
