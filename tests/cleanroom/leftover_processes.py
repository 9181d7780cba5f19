# SPDX-License-Identifier: MIT
"""Processes that real programs leave behind, at every tier: leftover_processes.py TOOL [TEST...]

Each is found, attributed, ended, verified and reported, and the same of somebody else lives on.

A process in uninterruptible sleep is made in two ways. One that waits in vfork(2) is what ps(1)
calls D, and can be killed. One that waits for a file system whose server does not answer cannot: it
is a FUSE file system of this test's own, and ends when the test closes it, or ends itself.
"""

import glob
import json
import os
import re
import struct
import subprocess
import sys

import leave
import leaving
import tool
from leaving import (SECONDS, TAG, Place, alive, as_user, end, end_all, group_lives, kill_group,
                     levels, outside, read_line, run_at, test)
from tap import Skip, main, wait_until
from tool import need_root, start

# How many of each there are.
SORTS = {"daemon": 1, "deaf": 1, "escapee": 1, "stopped": 1, "bare": 1, "vforked": 2, "crowd": 255,
         "storm": None}


class Cgroup:
    """One of the test's own, for who leaves that of the run. "": there is none here."""

    def __init__(self):
        tops = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
        usable = [top for top in tops if os.access(top + "/cgroup.procs", os.W_OK)]
        self.path = f"{usable[0]}/{TAG}" if usable else ""

    def __enter__(self):
        if self.path:
            os.mkdir(self.path)
        return self.path

    def __exit__(self, *error):
        if self.path:
            wait_until(self.remove, "the test's cgroup to empty")

    def remove(self):
        try:
            os.rmdir(self.path)
        except OSError:
            return False
        return True


def check_one(sort, run, ours, tier, user, cgroup):
    what = (sort, tier, user, run.err)
    assert run.status == 0, what
    assert alive(ours) == [], what
    # In a storm they are gone before anybody can ask what they are called.
    found = run.found("process", "python3" if sort == "storm" else ours)
    assert found if SORTS[sort] is None else len(found) == SORTS[sort], (len(found), what)
    for row in found:
        assert row["status"] in ("removed", "already gone"), (what, row)
        assert row["verified"] and row["owner"] == f"uid:{user or os.geteuid()}", (what, row)
    if sort == "crowd":  # asked one by one, while some go and others get other parents
        assert not any(row["reason"] for row in found), what
    if sort == "deaf":
        assert found[0]["reason"] == "ignored SIGTERM", what
    if sort == "stopped":
        assert "stopped" in found[0]["description"], what
    if sort == "bare" and tier > 0 and cgroup:
        assert "outside of the cgroup" in found[0]["description"], what
    run.assert_gone()


@test
def processes_of_every_sort_are_ended_and_the_same_of_others_live():
    with Place() as place, Cgroup() as cgroup:
        for tier, user in levels():
            for sort in SORTS:
                ours, theirs = f"{TAG}-{sort}-a", f"{TAG}-{sort}-b"
                more = [cgroup] if sort == "bare" and cgroup and user is None else []
                group = None
                try:
                    _, group = outside("process", sort, theirs, *more, user=user)
                    grace = "20s" if sort == "crowd" else "200ms"
                    run = run_at(tier, place, [tool.PYTHON, leaving.LEAVE, "process", sort, ours,
                                               *more], ["--grace", grace], user)
                    check_one(sort, run, ours, tier, user, more)
                    assert run.found("process", theirs) == [], run.err
                    # In a storm nobody lives long enough to be read; but there is somebody.
                    if sort == "storm":
                        assert group_lives(group), run.err
                    else:
                        wait_until(lambda: alive(theirs), f"the neighbour ({sort}) to be seen")
                finally:
                    if group:
                        kill_group(group)
                    end_all(ours)
                    end_all(theirs)


SERVICE = """
import os, subprocess, sys
for line in sys.stdin:
    tag, cookie = line.split()
    subprocess.Popen([tag, "1000"], executable="/bin/sleep", stdout=subprocess.DEVNULL,
                     start_new_session=True,
                     env={} if cookie == "-" else {"CLEANROOM_SESSION": cookie})
    print("done", flush=True)
"""


@test
def what_a_service_starts_is_the_runs_only_with_its_cookie():
    """Started by somebody else, as by cron: the environment alone can tell whose it is."""
    with Place() as place:
        for tier, user in levels():
            ours, theirs = f"{TAG}-asked-a", f"{TAG}-asked-b"
            service = subprocess.Popen([tool.PYTHON, "-c", SERVICE], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       text=True, **as_user(user))
            run = start(place, "echo $CLEANROOM_SESSION; read x",
                        ["--tier", str(tier), "--grace", "0"], user=user)
            try:
                cookie = read_line(run)
                for line in (f"{ours} {cookie}\n", f"{theirs} -\n"):
                    service.stdin.write(line)
                    service.stdin.flush()
                    assert read_line(service) == "done"
                err = end(run, "\n")
                assert alive(ours) == [], err
                assert f"{ours} 1000" in err and theirs not in err, err
                assert alive(theirs), err
            finally:
                service.kill()
                service.communicate()
                end_all(ours)
                end_all(theirs)


# ---- what they hold ------------------------------------------------------------------------------


@test
def what_a_daemon_holds_is_named_and_goes_and_the_same_of_others_stays():
    with Place() as place:
        os.mkdir(place.file("open"))
        os.chmod(place.file("open"), 0o777)
        for tier, user in levels():
            for kind in ("socket", "abstract", "port", "deleted"):
                ours, theirs = (f"{place.path}/open/{TAG}-{who}" if kind != "abstract"
                                else f"{TAG}-{who}" for who in "ab")
                try:
                    there = outside("daemon", kind, theirs, user=user)[0].strip()
                    run = run_at(tier, place, [tool.PYTHON, leaving.LEAVE, "daemon", kind, ours],
                                 ["--grace", "0"], user)
                    check_held(kind, run, run.out.strip(), there)
                    assert alive(ours) == [] and len(alive(theirs)) == 1, run.err
                    if kind == "socket":
                        assert not os.path.lexists(ours) and os.path.lexists(theirs), run.err
                finally:
                    end_all(ours)
                    end_all(theirs)
                    for path in (ours, theirs):
                        if kind == "socket" and os.path.lexists(path):
                            os.unlink(path)


def check_held(kind, run, here, there):
    assert run.status == 0 and len(run.found("process", here if kind != "port" else TAG)) == 1
    assert run.json["unremoved"] == 0, run.json
    if kind == "deleted":  # the space is free when nobody has it open any more
        return
    held = [r for r in run.found(kind) if r["name"].endswith(here)]
    assert len(held) == 1, (kind, run.err, run.json["resources"])
    assert held[0]["status"] == "removed" and held[0]["verified"], held
    assert "held by pid" in held[0]["description"], held
    assert not any(r["name"].endswith(there) for r in run.found(kind)), run.err


# ---- what cannot be ended ------------------------------------------------------------------------


class Silent:
    """A FUSE file system whose server answers nothing but the first request: whoever looks a name
    up in it sleeps until `close`."""

    def __init__(self, path):
        self.path = path
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as why:
            raise Skip(f"no FUSE here: {why}") from None
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        mount = subprocess.run(["mount", "-i", "-t", "fuse", "-o", options, TAG, path],
                               pass_fds=[self.fd], stderr=subprocess.PIPE, text=True,
                               timeout=SECONDS)
        if mount.returncode != 0:
            os.close(self.fd)
            raise Skip(f"no FUSE here: {mount.stderr.strip()}")
        self.answer_init()

    def answer_init(self):
        # <linux/fuse.h>: fuse_in_header and fuse_init_in; fuse_out_header and fuse_init_out.
        request = os.read(self.fd, 1 << 20)
        unique, = struct.unpack_from("<Q", request, 8)
        minor, = struct.unpack_from("<I", request, 44)
        body = struct.pack("<IIIIHHIIHHI28x", 7, min(minor, 31), 0, 0, 0, 0, 4096, 1, 0, 0, 0)
        os.write(self.fd, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)

    def take_request(self):
        """Somebody asked, and now cannot be interrupted any more."""
        return os.read(self.fd, 1 << 20)

    def close(self):
        os.close(self.fd)
        subprocess.run(["umount", "-l", self.path], check=True, timeout=SECONDS)


@test
def what_sleeps_uninterruptibly_is_told_and_goes_when_it_wakes_up():
    """It takes as long as a process is given to die after SIGKILL, once."""
    need_root()
    with Place() as place:
        os.mkdir(place.file("fuse"))
        state = place.file("state")
        env = {"CLEANROOM_STATE_DIR": state}
        fuse = Silent(place.file("fuse"))
        try:
            report = place.file("r.json", "")
            # Only when the request was taken does the command end.
            run = start(place, f"(exec ls {fuse.path}/x >/dev/null 2>&1) & echo $!; read x",
                        ["--fail-on-leftovers", "--grace", "0", "--report", report], env=env)
            pid = int(read_line(run))
            fuse.take_request()
            err = end(run, "\n")
            assert run.returncode == 121, err
            with open(report) as file:
                told = json.load(file)
            tool.check(told)
            [stuck] = [r for r in told["resources"] if r["id"].startswith(f"{pid}:")]
            assert stuck["status"] == "stuck" and not stuck["verified"], stuck
            assert "still there after SIGKILL (state D)" in stuck["reason"], stuck
            assert re.search(r"could not be removed\n +process +\d+  ls ", err), err
            assert leave.state_of(pid) == "D", err
            assert told["cleanup_ms"] < 20000, told  # it is not waited for at every step
        finally:
            fuse.close()
            wait_until(lambda: leave.state_of(pid) in "XZ", "it to end")
        # It was given up, and the session with it, by a process that is gone: anybody may go on.
        reap = subprocess.run([tool.TOOL, "reap"], env={**os.environ, **env}, text=True,
                              stderr=subprocess.PIPE, timeout=SECONDS)
        assert reap.returncode == 0, reap
        assert os.listdir(state + "/sessions") == [], reap
        assert told["session"] not in " ".join(tool.cgroups()), reap


# ---- a run in a run ------------------------------------------------------------------------------

NESTED = """
%(tool)s run --quiet --tier %(tier)s -- %(python)s -c 'if 1:
    import os, time
    print("ready", os.environ["TMPDIR"], os.getppid(), flush=True)
    time.sleep(1000)' %(tag)s >$TMPDIR/out &
while ! grep -q '^ready .* [0-9][0-9]*$' $TMPDIR/out; do sleep 0.01; done
read word dir pid <$TMPDIR/out
kill -9 $pid
echo $dir
"""


@test
def a_run_in_a_run_that_is_killed_is_cleaned_up_by_its_own_reaper_or_the_outer_run():
    with Place() as place:
        for tier, user in levels():
            tag = f"{TAG}-inner"
            state = place.file(f"state-{tier}-{user}")
            os.mkdir(state, 0o700)
            if user is not None:
                os.chown(state, user, user)
            script = NESTED % {"tool": tool.TOOL, "tier": tier, "python": tool.PYTHON, "tag": tag}
            try:
                run = run_at(tier, place, script, ["--name", "outer"], user,
                             env={"CLEANROOM_STATE_DIR": state})
                inner = run.out.strip()
                assert run.status == 0 and inner.startswith("/"), run.err
                assert alive(tag) == [] and not os.path.exists(inner), run.err
                # Its reaper may still be at work: then it is waited for, and is no leftover.
                names = [r["name"] for r in run.found("process")]
                assert not any("reaper" in name for name in names), (names, run.err)
                files = [r["name"] for r in run.found("file") if r["status"] != "foreign"]
                assert files[-1:] == ["out"], files
                run.assert_gone()
                wait_until(lambda: not glob.glob(state + "/sessions/*"), "the inner session to go")
            finally:
                end_all(tag)


@test
def nothing_of_all_this_is_left():
    for session in tool.SESSIONS:
        assert not any(session in path for path in tool.cgroups()), session
    assert not [name for name in os.listdir("/tmp") if TAG in name]
    assert alive(TAG) == []


if __name__ == "__main__":
    leaving.hide_mounts()
    sys.exit(leaving.apart(lambda: main(sys.argv[2:], after=tool.end_started)))
