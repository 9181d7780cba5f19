# SPDX-License-Identifier: MIT
"""Tests of `cleanroom run --isolate` and `--limit`: isolate.py TOOL [TEST...]"""

import glob
import os
import signal
import subprocess
import sys
import tempfile

import tool
from tap import Skip, main, test, wait_until
from tool import Place, Run, each_user, need_root, start


def isolating_users():
    """Those of the users that may make namespaces here."""
    users = [user for user in each_user() if subprocess.run(
        ["unshare", *([] if user is None and tool.is_root() else ["-U"]), "-p", "-f", "true"],
        stderr=subprocess.DEVNULL, **(tool.NOBODY_ELSE if user is not None else {})
    ).returncode == 0]
    if not users:
        raise Skip("nobody may make namespaces here")
    return users


def is_mounted(name):
    with open("/proc/self/mountinfo") as file:
        return name in file.read()


@test
def each_form_can_be_isolated_by_each_user():
    scripts = {
        "tmp": "test $(ls -A /tmp | wc -l) -le 1 && test -z \"$(ls -A /var/tmp)\" && test -d $TMPDIR",
        "ipc": "test $(wc -l < /proc/sysvipc/shm) = 1",
        "pid": "test $(ls -d /proc/[0-9]* | wc -l) -le 6",
        "mount": "true",
        "net": "test $(grep -c : /proc/net/dev) = 1",
        "all": "test $(ls -d /proc/[0-9]* | wc -l) -le 6 && test $(grep -c : /proc/net/dev) = 1",
    }
    for user in isolating_users():
        for form, script in scripts.items():
            with Place() as place:
                run = Run(place, script, ["--isolate", form], user=user)
                assert run.status == 0, (user, form, run.err)
                assert not run.found("process") and not run.found("file"), (user, form, run.json)
                run.assert_gone()
                assert not is_mounted(run.json["session"])


@test
def what_stays_in_a_namespace_is_a_leftover_as_everywhere():
    for user in isolating_users():
        with Place() as place:
            run = Run(place, "setsid sleep 1001 & (trap '' TERM; exec sleep 1002) & "
                      "echo 1 > /tmp/one; echo 2 > /var/tmp/two; echo 3 > $TMPDIR/three; exit 6",
                      ["--isolate", "pid,tmp", "--grace", "50ms"], user=user)
            assert run.status == 6, run.err
            names = sorted(r["name"] for r in run.found("process"))
            assert names == ["sleep 1001", "sleep 1002"], run.json
            files = sorted(r["name"] for r in run.found("file"))
            assert files in (["tmp/one", "tmp/three", "var-tmp/two"],  # TMPDIR lies in /tmp
                             ["three", "tmp/one", "var-tmp/two"]), files
            run.assert_gone()


@test
def the_way_it_ended_is_told_exactly():
    for user in isolating_users():
        with Place() as place:
            for script, status in (("exit 7", 7), ("kill -SEGV $$", 128 + 11),
                                   ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)):
                run = Run(place, "ulimit -c 0; " + script, ["--isolate", "pid"], user=user)
                assert run.status == status, (script, run.status, run.err)
                code = status if status < 128 else None
                assert run.json["exit"]["code"] == code, run.json["exit"]
            for command, status in ((["no-such-command-here"], 127), (["/etc/passwd"], 126)):
                run = Run(place, command, ["--isolate", "pid,net"], user=user)
                assert run.status == status, (command, run.status, run.err)


@test
def signals_and_timeouts_reach_a_command_in_a_namespace():
    for user in isolating_users():
        with Place() as place:
            run = Run(place, "sleep 1000", ["--isolate", "pid", "--timeout", "100ms"], user=user)
            assert run.status == 124, run.err
            process = start(place, "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done",
                            ["--isolate", "pid"], user=user)
            assert process.stdout.readline() == "up\n"
            process.terminate()
            process.communicate()
            assert process.returncode == 9


@test
def a_killed_supervisor_takes_the_namespace_with_it():
    for user in isolating_users():
        with Place() as place:
            process = start(place, "setsid sleep 1003 & echo up; sleep 1003",
                            ["--isolate", "pid"], user=user)
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout.read() == ""  # nobody holds it any more
            wait_until(lambda: not os.listdir(place.tmp), "the reaper to remove its directory")


@test
def limits_are_kept():
    need_root()
    with Place() as place:
        cases = [
            ("mem=24M", "exec dd if=/dev/zero of=/dev/null bs=200M count=1", 128 + 9),
            ("fsize=8K", "ulimit -c 0; exec dd if=/dev/zero of=$TMPDIR/f bs=1k count=64", 128 + 25),
            ("disk=256K", "dd if=/dev/zero of=$TMPDIR/f bs=64k count=64", 1),
            ("pids=5", "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; wait", 2),
        ]
        for limit, script, status in cases:
            run = Run(place, script, ["--limit", limit])
            if "cannot limit" in run.err:
                raise Skip(run.err)
            assert run.status == status, (limit, run.status, run.err)
            assert glob.glob(f"/sys/fs/cgroup/**/cleanroom-{run.json['session']}",
                             recursive=True) == [], limit
            run.assert_gone()


@test
def what_cannot_be_limited_is_not_run():
    user = [user for user in each_user() if user is not None] or [None]
    with Place() as place:
        for limit in ("mem=64M", "pids=10", "cpu=1", "disk=1M"):
            run = Run(place, "echo ran", ["--limit", limit], user=user[0])
            if run.status == 0:
                raise Skip("cgroups are delegated to this user")
            assert run.status == 125 and run.out == "", (limit, run.status, run.out)
            assert "limit" in run.err, run.err


@test
def lists_that_are_wrong_are_named():
    for options, words in (
        (["--isolate", "user"], "--isolate: 'user' cannot be isolated"),
        (["--isolate", ""], "--isolate: '' cannot be isolated"),
        (["--limit", "ram=1G"], "--limit: 'ram=1G' is no limit"),
        (["--limit", "mem=1Q"], "--limit: '1Q' is not a size from 1M"),
        (["--limit", "pids=1", "--limit", "mem=1G"], "give all limits in one list"),
    ):
        run = subprocess.run([tool.TOOL, "run", *options, "--", "true"], capture_output=True,
                             text=True)
        assert run.returncode == 125 and words in run.stderr, (options, run)


if __name__ == "__main__":
    tool.TOOL = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="cleanroom-test-") as directory:
        os.chmod(directory, 0o755)
        copy = os.path.join(directory, "cleanroom")
        subprocess.run(["cp", tool.TOOL, copy], check=True)
        tool.TOOL = copy
        sys.exit(main(sys.argv[2:], after=tool.end_started))
