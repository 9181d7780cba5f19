# SPDX-License-Identifier: MIT
"""Tests of `cleanroom run`, from outside: run.py TOOL SOURCE [TEST...]"""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios

import tool
from tap import Skip, main, test, wait_until
from tool import NOBODY, NOBODY_ELSE, Place, Run, cgroups, each_user, need_root, start

# ---- exit status, descriptors, environment -------------------------------------------------------


@test
def the_exit_status_is_that_of_the_command():
    cases = [
        ("exit 0", 0), ("exit 1", 1), ("exit 125", 125), ("exit 255", 255),
        ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9), ("kill -SEGV $$", 128 + 11),
        (["no-such-command-here"], 127), (["/no/such/command"], 127), (["/etc/passwd"], 126),
        (["/"], 126), (["/etc/passwd/x"], 126),
    ]
    with Place() as place:
        for command, status in cases:
            run = Run(place, command)
            assert run.status == status, (command, run.status, run.err)
            if isinstance(command, list):
                assert run.err.startswith(f"cleanroom: cannot run '{command[0]}': "), run.err
                assert run.json["exit"] == {"code": None, "signal": None, "timed_out": False}
            run.assert_gone()


@test
def signals_are_told_in_the_report():
    with Place() as place:
        run = Run(place, "kill -HUP $$")
        assert run.json["exit"] == {"code": None, "signal": 1, "timed_out": False}
        assert "ended by SIGHUP" in run.err


@test
def wrong_usage_is_explained():
    cases = [
        (["run"], "no command to run"), (["run", "--"], "no command to run"),
        (["run", "--nonsense", "true"], "no such option: '--nonsense'"),
        (["run", "-x", "true"], "no such option: '-x'"),
        (["run", "--timeout"], "'--timeout' needs a value"),
        (["run", "--timeout", "soon", "true"], "--timeout 'soon' is not a span of time"),
        (["run", "--grace=-1s", "true"], "--grace '-1s' is not a span of time"),
        (["run", "--report", "x.yaml", "true"], "must end in .txt, .json, .xml (JUnit) or .html"),
        (["run", "--report", "/no/such/dir/x.json", "true"], "/no/such/dir/x.json"),
        (["walk"], "no such command: 'walk'"), ([], "usage: cleanroom"),
    ]
    for arguments, words in cases:
        run = subprocess.run([tool.TOOL, *arguments], capture_output=True, text=True)
        assert run.returncode == 125, (arguments, run)
        assert words in run.stderr and run.stdout == "", (arguments, run)


@test
def help_and_version_are_given():
    version = subprocess.run([tool.TOOL, "--version"], capture_output=True, text=True)
    assert version.returncode == 0 and re.fullmatch(r"cleanroom \d+\.\d+\.\d+\n", version.stdout)
    for arguments in (["--help"], ["help"], ["run", "--help"]):
        run = subprocess.run([tool.TOOL, *arguments], capture_output=True, text=True)
        assert run.returncode == 0 and run.stdout.startswith("usage: cleanroom") and not run.stderr
    options = re.findall(r"--[a-z-]+", run.stdout)
    for option in ("timeout", "grace", "report", "fail-on-leftovers", "quiet", "name", "version"):
        assert "--" + option in options


@test
def options_after_the_command_are_its_own():
    with Place() as place:
        run = start(place, ["echo", "--help", "--timeout"])
        assert run.communicate()[0] == "--help --timeout\n"


@test
def streams_are_passed_through_untouched():
    with Place() as place:
        data = bytes(range(256)) * 1000
        run = start(place, ["sh", "-c", "cat; printf e >&2"], ["--quiet"], text=False, errors=None)
        out, err = run.communicate(data)
        assert out == data and err == b"e"


@test
def closed_streams_stay_closed():
    with Place() as place:
        script = "; ".join(f"test -e /proc/self/fd/{fd} && echo {fd} >>seen" for fd in (0, 1, 2))
        command = f"exec 0<&- 1>&- 2>&-; {tool.TOOL} run -- sh -c '{script}; echo x >seen.done'"
        env = {**os.environ, "TMPDIR": place.tmp}
        status = subprocess.run(["sh", "-c", command], cwd=place.path, env=env).returncode
        assert status == 0
        assert os.listdir(place.path).count("seen.done") == 1
        assert not os.path.exists(place.file("seen")), open(place.file("seen")).read()


@test
def what_is_meant_for_a_closed_stream_goes_nowhere_else():
    with Place() as place:
        report = place.file("r.json")
        command = f"exec 2>&-; {tool.TOOL} run --report {report} -- sh -c ': >$TMPDIR/x'"
        status = subprocess.run(["sh", "-c", command], env={**os.environ, "TMPDIR": place.tmp})
        assert status.returncode == 0
        with open(report) as file:
            assert json.load(file)["leftovers"] == 1


@test
def a_reader_that_has_gone_changes_nothing():
    with Place() as place:
        read, write = os.pipe()
        os.close(read)
        run = start(place, "exit 3", stderr=write)
        os.close(write)
        run.communicate()
        assert run.returncode == 3


@test
def tmpdir_is_private_and_goes():
    with Place() as place:
        run = Run(place, 'stat -c %a "$TMPDIR"; echo "$TMPDIR"; test "$TMP" = "$TMPDIR" && '
                         'test "$TEMP" = "$TMPDIR" && echo "$CLEANROOM_SESSION"')
        mode, path, session = run.out.split()
        assert mode == "700" and session == run.json["session"]
        assert path == f"{place.tmp}/cleanroom-{session}"
        assert not os.path.exists(path)


@test
def a_tmpdir_that_cannot_be_used_is_told():
    with Place() as place:
        run = subprocess.run([tool.TOOL, "run", "true"], capture_output=True, text=True,
                             env={**os.environ, "TMPDIR": "/no/such/place"})
        assert run.returncode == 125
        assert "/no/such/place" in run.stderr and "TMPDIR" in run.stderr


# ---- what it says --------------------------------------------------------------------------------


def undisturbed(place, *arguments):
    """Of a run during which no neighbour made what at this tier might be the run's, too."""
    for _ in range(20):
        run = Run(place, *arguments)
        if run.json["foreign"] == 0:
            break
    return run


@test
def a_clean_run_says_one_line_or_nothing():
    with Place() as place:
        run = undisturbed(place, ["true"], ["--name", "my test"])
        assert re.fullmatch(r"cleanroom: my test  exit 0  [\d.]+ m?s  tier T\d \([\w, ]+\)  "
                            r"nothing left behind\n", run.err), run.err
        assert run.json["name"] == "my test" and run.json["leftovers"] == 0
        assert undisturbed(place, ["true"], ["--quiet"]).err == ""
        assert Run(place, "touch $TMPDIR/x", ["--quiet"]).err != ""
        assert Run(place, ["true"]).json["name"] == "true"


MESSY = """\
cleanroom: messy  exit 0  TIME  TIER
  left behind and removed
    process      4  import-server --port=0 1000 (PID, daemon)
                    import-worker --slow 1000 (PID, orphan, ignored SIGTERM)
                    import-worker --traced 1000 (PID, orphan, stopped)
                    import-logger 1000 (PID, orphan)
    file       218  SIZE in TMPDIR: 207 files, 7 directories, 2 symlinks, 1 FIFO, 1 socket
  222 leftovers, removed and verified gone in TIME
"""


def mask(text):
    for pattern, word in ((r"pid \d+", "PID"), (r"[\d.]+ m?s\b", "TIME"),
                          (r"tier T\d \([\w, ]+\)", "TIER"), (r"[\d.]+ [KM]iB", "SIZE")):
        text = re.sub(pattern, word, text)
    # What neighbours make meanwhile is nobody's business here.
    text = re.sub(r"  left behind, not provably ours, not touched\n(    .*\n)+", "", text)
    text = re.sub(r"; \d+ foreign, not touched,", "", text)
    head, *lines, file, tail = text.splitlines(keepends=True)
    first, *rest = lines[1:]  # the kernel lists processes in an order of its own
    order = ["server", "slow", "traced", "logger"]
    rows = [line[20:] for line in (first, *rest)]
    rows.sort(key=lambda row: [i for i, word in enumerate(order) if word in row])
    rows = [(first[:20] if i == 0 else " " * 20) + row for i, row in enumerate(rows)]
    return "".join([head, lines[0], *rows, file, tail])


@test
def the_report_on_the_messy_example_reads_well():
    with Place() as place:
        for user in each_user():
            run = Run(place, [os.path.join(tool.SOURCE, "examples", "messy")], user=user)
            assert run.status == 0, run.err
            assert "all 200 records imported: OK" in run.out
            expected = MESSY
            if ", 1 socket" not in run.err:  # no perl here
                expected = MESSY.replace(", 1 socket", "")
                expected = expected.replace("218", "217").replace("222", "221")
            assert mask(run.err) == expected, run.err
            run.assert_gone()


# ---- what is left behind -------------------------------------------------------------------------

# Each comes to its end, a sleep, before the command ends: fd 9 says so.
ESCAPES = """
mkfifo $TMPDIR/ready; exec 9<>$TMPDIR/ready
(echo >&9; exec sleep 1001) &
(setsid sh -c 'echo >&9; exec sleep 1002' &) &
((trap '' TERM; echo >&9; exec sleep 1003) &) &
(env -i setsid sh -c '(echo >&9; exec sleep 1004) &' &) &
sh -c 'echo >&9; kill -STOP $$; exec sleep 1005' &
for i in 1 2 3 4 5; do read x <&9; done
while ! grep -q '^State:.T' /proc/$!/status; do :; done
"""


@test
def every_escape_is_found_ended_and_verified():
    with Place() as place:
        for user in each_user():
            run = Run(place, ESCAPES, ["--grace", "300ms"], user=user)
            assert run.status == 0
            assert run.json["tier"] == (0 if user else run.json["tier"])
            assert (run.json["tier_reason"] is None) == (run.json["tier"] == 3)
            assert len(run.found("process")) == 5 and run.json["leftovers"] == 6, run.err
            for number in (1001, 1002, 1003, 1004):
                [found] = run.found("process", f"sleep {number}")
                deaf = number == 1003
                assert found["status"] == "removed" and found["attempts"] == (2 if deaf else 1)
                assert found["reason"] == ("ignored SIGTERM" if deaf else None)
                assert found["owner"] == f"uid:{user or os.geteuid()}"
            [stopped] = run.found("process", "kill -STOP")
            assert "stopped" in stopped["description"]
            assert run.json["totals"]["process"] == {"removed": 5, "already gone": 1}
            run.assert_gone()


@test
def neighbours_survive():
    """Of each sort one that is not the session's: alive before, alive and untouched after."""
    with Place() as place:
        outside = place.file("neighbour", "text")
        os.mkdir(place.file("tmp/cleanroom-neighbour"))
        beside = place.file("tmp/cleanroom-neighbour/file", "text")
        with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
            try:
                for user in each_user():
                    script = f"setsid sleep 1000 & ln -s {outside} {place.tmp} $TMPDIR; " \
                             f"ln {outside} $TMPDIR/hard 2>/dev/null"
                    run = Run(place, script, user=user)
                    assert run.json["leftovers"] >= 3
                    assert process.poll() is None
                    assert open(outside).read() == open(beside).read() == "text"
                    run.assert_gone()
            finally:
                process.kill()
        shutil.rmtree(place.file("tmp/cleanroom-neighbour"))


@test
def children_from_before_survive():
    """A shell that executes the tool hands its children over to it: they are not the command's."""
    with Place() as place:
        for user in each_user():
            how = NOBODY_ELSE if user else {}
            script = "(exec sleep 1000 >/dev/null 2>&1) & echo $!; " \
                     f"exec {tool.TOOL} run --quiet -- sh -c 'setsid sleep 1001 &'"
            env = {**os.environ, "TMPDIR": place.tmp}
            run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=env,
                                 **how)
            pid = int(run.stdout)
            assert run.returncode == 0 and " 1 leftover" in run.stderr, run.stderr
            os.kill(pid, signal.SIGKILL)  # raises if it is gone


@test
def hostile_names_harm_neither_terminal_nor_json():
    with Place() as place:
        script = r"""
import os, socket
os.chdir(os.environ["TMPDIR"])
for name in [b"-rf", b" ", b"two\nlines", b"\x1b[31mred", b"\xff\xfe", b"*", b"\"q\\", b"l" * 255]:
    open(name, "w").close()
os.mkdir("a\tb"); os.mkfifo("a\tb/fifo"); os.symlink("/etc", "a\tb/etc")
os.mkdir("locked"); open("locked/file", "w").write("x" * 100000); os.chmod("locked", 0)
os.spawnvp(os.P_NOWAIT, "sleep", [b"sleep\x1b]0;title\x07\n\xff", b"1000"])
"""
        for user in each_user(python=True):
            run = Run(place, [tool.PYTHON, "-c", script], user=user)
            assert "\x1b" not in run.err and "\a" not in run.err
            assert r"sleep\x1b]0;title\x07\n\xff 1000" in run.err, run.err
            names = {r["name"] for r in run.found("file")}
            assert {"-rf", " ", "two\nlines", "\x1b[31mred", "a\tb/fifo", "a\tb/etc", "a\tb",
                    "locked/file", "l" * 255} <= names, names
            types = {r["name"]: r["type"] for r in run.found("file")}
            assert types["a\tb/fifo"] == "fifo" and types["a\tb/etc"] == "symlink"
            [big] = run.found("file", "locked/file")
            assert big["bytes"] >= 100000
            run.assert_gone()
            assert os.path.isdir("/etc")


@test
def many_files_and_deep_trees_go():
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with Place(parent=memory) as place:
        script = """
import os
os.chdir(os.environ["TMPDIR"])
for i in range(10000): open(str(i), "w").close()
for i in range(1000): os.mkdir("d" * 200); os.chdir("d" * 200)
"""
        run = Run(place, [tool.PYTHON, "-c", script])
        assert run.json["leftovers"] == 11000 and run.json["unremoved"] == 0
        assert run.json["unlisted"] == 10000
        assert run.json["totals"]["file"] == {"removed": 11000}


@test
def two_runs_at_once_leave_each_other_alone():
    with Place() as place:
        for user in each_user():
            script = "touch $TMPDIR/file; setsid sleep 1000 & echo $!; read x"
            first, second = (start(place, script, user=user) for _ in range(2))
            pids = [int(run.stdout.readline()) for run in (first, second)]
            assert len(os.listdir(place.tmp)) == 2
            assert " 2 leftovers" in first.communicate("\n")[1]
            os.kill(pids[1], 0)
            [left] = os.listdir(place.tmp)
            assert os.listdir(os.path.join(place.tmp, left)) == ["file"]
            assert " 2 leftovers" in second.communicate("\n")[1]


@test
def a_run_inside_a_run_cleans_up_its_own():
    with Place() as place:
        inner = f"{tool.TOOL} run --name inner -- sh -c 'setsid sleep 1000 & touch $TMPDIR/x'"
        run = Run(place, f"{inner}; touch $TMPDIR/y", ["--name", "outer"])
        first, second = run.err.split("cleanroom: outer")
        assert " 2 leftovers" in first and " 1 leftover," in second
        assert [r["name"] for r in run.found("file")] == ["y"]
        run.assert_gone()


@test
def who_leaves_the_cgroup_is_found_all_the_same():
    need_root()
    with Place() as place:
        run = Run(place, "exec 2>&-; for f in /sys/fs/cgroup/cgroup.procs "
                         "/sys/fs/cgroup/unified/cgroup.procs; do test -e $f && "
                         "(echo 0 >$f && setsid sleep 1000 &); done; sleep 0.1")
        if run.json["tier"] == 0:
            raise Skip("no cgroup here")
        [found] = run.found("process", "sleep 1000")
        assert "outside of the cgroup" in found["description"]
        run.assert_gone()


@test
def an_output_that_is_being_copied_is_not_cut_off():
    """`exec > >(tee log)`: the tee goes on for a moment after the script, and is no leftover."""
    with Place() as place:
        for user in each_user():
            for _ in range(10):
                run = Run(place, ["bash", "-c", "exec > >(tee /dev/null); echo text"],
                          ["--grace", "20s"], user=user)
                assert run.out == "text\n" and run.json["leftovers"] == 0, run.err


# ---- --fail-on-leftovers -------------------------------------------------------------------------


@test
def leftovers_fail_the_run_when_asked_to():
    with Place() as place:
        fail = ["--fail-on-leftovers"]
        assert Run(place, ["true"], fail).status == 0
        assert Run(place, "touch $TMPDIR/x", fail).status == 120
        assert Run(place, "touch $TMPDIR/x").status == 0
        assert Run(place, "touch $TMPDIR/x; exit 7", fail).status == 7
        assert Run(place, "touch $TMPDIR/x; kill -9 $$", fail).status == 137


@test
def what_cannot_be_removed_is_named_and_fails_the_run():
    need_root()
    with Place() as place:
        report = place.file("r.json", "")
        os.chmod(report, 0o666)
        run = start(place, "mkdir $TMPDIR/theirs; touch $TMPDIR/theirs/file $TMPDIR/ours; "
                           "echo $TMPDIR; read x", ["--fail-on-leftovers", "--report", report],
                    user=NOBODY)
        path = run.stdout.readline().strip()
        os.chown(os.path.join(path, "theirs"), 0, 0)
        err = run.communicate("\n")[1]
        assert run.returncode == 121, err
        assert re.search(r"could not be removed\n    file +2  theirs/file: Permission denied\n",
                         err), err
        assert " 3 leftovers: 1 removed (1 unverified), 2 not removed; 1 of the run's own" in err, err
        with open(report) as file:
            told = json.load(file)
        tool.check(told)
        assert told["unremoved"] == 3  # and so the directory around it
        assert told["totals"]["file"] == {"removed": 1, "stuck": 2}
        [dir] = [r for r in told["resources"] if r["kind"] == "tempdir"]
        assert "'theirs/file'" in dir["reason"] and "Permission denied" in dir["reason"], dir
        [left] = os.listdir(place.tmp)
        shutil.rmtree(os.path.join(place.tmp, left))


@test
def a_report_that_cannot_be_written_fails_the_run():
    with Place() as place:
        os.symlink("/dev/full", place.file("full.json"))
        for script, status in (("exit 0", 125), ("exit 3", 3)):
            run = start(place, script, ["--report", place.file("full.json")])
            err = run.communicate()[1]
            assert run.returncode == status and "full.json" in err and "No space" in err, err


# ---- timeouts ------------------------------------------------------------------------------------


@test
def a_timeout_ends_everything():
    with Place() as place:
        for user in each_user():
            run = Run(place, "sleep 1000 & sleep 1000", ["--timeout", "50ms", "--grace", "20s"],
                      user=user)
            assert run.status == 124
            assert run.json["exit"] == {"code": None, "signal": 15, "timed_out": True}
            assert "timed out" in run.err and run.json["leftovers"] == 0
            assert 50 <= run.json["duration_ms"] < 10000
            run.assert_gone()


@test
def a_timeout_ends_the_deaf_too():
    with Place() as place:
        for user in each_user():
            run = Run(place, "trap '' TERM; sleep 1001 & exec sleep 1002",
                      ["--timeout", "700ms", "--grace", "50ms"], user=user)
            assert run.status == 124
            assert run.json["exit"] == {"code": None, "signal": 9, "timed_out": True}
            [found] = run.found("process")
            assert found["name"] == "sleep 1001" and found["reason"] == "ignored SIGTERM"
            run.assert_gone()


@test
def a_timeout_that_is_not_reached_or_zero_does_nothing():
    with Place() as place:
        for span in ("0", "1h", "forever"):
            assert Run(place, "exit 4", ["--timeout", span]).status == 4


@test
def no_grace_kills_at_once():
    with Place() as place:
        for user in each_user():
            script = "mkfifo $TMPDIR/f; sh -c 'trap \"echo asked\" TERM; echo >$TMPDIR/f; " \
                     "while :; do sleep 0.01; done' & read x <$TMPDIR/f"
            run = Run(place, script, ["--grace", "0"], user=user)
            assert run.out == ""
            found = run.found("process", "trap")[0]
            assert found["attempts"] == 1 and found["reason"] is None
            run.assert_gone()


# ---- signals -------------------------------------------------------------------------------------

TRAPS = """
import os, signal, sys
names = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"]
# Not by print, which cannot be entered again by a signal that comes while it prints.
tell = lambda number, frame: os.write(1, signal.Signals(number).name.encode() + bytes([10]))
for name in names:
    signal.signal(getattr(signal, "SIG" + name), tell)
print("ready", flush=True)
sys.stdin.read()
"""


@test
def signals_are_forwarded_once():
    with Place() as place:
        for user in each_user(python=True):
            # What neighbours make at a tier that proves nothing is told, but is no leftover.
            run = start(place, [tool.PYTHON, "-c", TRAPS], ["--fail-on-leftovers"], user=user)
            assert run.stdout.readline() == "ready\n"
            for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"):
                run.send_signal(getattr(signal, "SIG" + name))
                assert run.stdout.readline() == f"SIG{name}\n"
            out, err = run.communicate()
            assert out == "" and run.returncode == 0, (out, run.returncode, err)


@test
def who_dies_of_a_forwarded_signal_is_cleaned_up_after():
    with Place() as place:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            run = start(place, "setsid sleep 1000 & touch $TMPDIR/x; echo ready; exec sleep 1000")
            assert run.stdout.readline() == "ready\n"
            run.send_signal(number)
            err = run.communicate()[1]
            assert run.returncode == 128 + number and " 2 leftovers, removed" in err, err


@test
def a_second_interrupt_skips_the_grace_but_loses_nothing():
    with Place() as place:
        # The deaf daemon says when it was asked: then the clean-up is waiting for it.
        deaf = "import os, signal, time\n" \
               "signal.signal(signal.SIGTERM, lambda n, f: os.write(1, b'asked\\n'))\n" \
               "os.write(1, b'ready\\n')\nwhile True: time.sleep(1000)"
        script = f"setsid {tool.PYTHON} -c \"$0\" & read x"
        for user in each_user(python=True):
            run = start(place, ["sh", "-c", script, deaf], ["--grace", "10m"], user=user)
            assert run.stdout.readline() == "ready\n"
            run.stdin.write("\n")
            run.stdin.flush()
            assert run.stdout.readline() == "asked\n"
            run.send_signal(signal.SIGINT)
            run.send_signal(signal.SIGTERM)
            err = run.communicate()[1]
            assert run.returncode == 0 and " 1 leftover, removed and verified" in err, err


@test
def what_is_ignored_stays_ignored():
    with Place() as place:
        script = "signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
        run = subprocess.Popen(
            [tool.PYTHON, "-c", "import os, signal, sys; " + script, tool.TOOL, "run", "--",
             "sh", "-c", "echo ready; read x; kill -HUP $$; exit 3"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": place.tmp})
        assert run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGHUP)
        run.communicate("\n")
        assert run.returncode == 3


# Takes signals one by one and tells whom each came from; a line of input makes it signal its group.
SOURCES = """
import os, select, signal, sys
signals = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while True:
    info = signal.sigtimedwait(signals, 0.001)
    if info is None:
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                break
            os.kill(0, signal.SIGTERM)
        continue
    source = "terminal" if info.si_code > 0 else "self" if info.si_pid == os.getpid() else "other"
    print(signal.Signals(info.si_signo).name, "from", source, flush=True)
"""


class Held:
    """While the tool stands still, the command gets its own signals. What the tool then makes of
    its part of them comes to the command before a signal that was sent later, which is told."""

    def __init__(self, pid, read_until):
        self.pid, self.read_until = pid, read_until

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(self.pid) == "T", "the tool to stop")

    def __exit__(self, *error):
        os.kill(self.pid, signal.SIGUSR1)
        os.kill(self.pid, signal.SIGCONT)
        self.read_until("SIGUSR1 from other")


@test
def a_script_that_kills_its_group_is_not_hit_twice():
    """`trap 'kill 0' EXIT` is how scripts end what they started; we are in their group."""
    with Place() as place:
        for user in each_user(python=True):
            run = start(place, [tool.PYTHON, "-c", SOURCES], user=user, start_new_session=True)
            lines = []

            def read_until(words):
                while not lines or words not in lines[-1]:
                    lines.append(run.stdout.readline())
                    assert lines[-1], lines

            read_until("ready")
            with Held(run.pid, read_until):
                run.stdin.write("\n")
                run.stdin.flush()
                read_until("SIGTERM from self")
            out, err = run.communicate()
            assert run.returncode == 0 and out == "", (out, err)
            assert lines == ["ready\n", "SIGTERM from self\n", "SIGUSR1 from other\n"], lines
        run = start(place, "trap 'trap \"\" TERM; kill 0; echo done' EXIT; sleep 1000 & exit 6",
                    start_new_session=True)
        assert run.communicate()[0] == "done\n" and run.returncode == 6


# ---- the terminal --------------------------------------------------------------------------------


class Terminal:
    """Runs a program in a session of its own, with a terminal."""

    def __init__(self, place, *command):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # What is typed would be echoed into the middle of what the command says.
            modes = termios.tcgetattr(0)
            modes[3] &= ~termios.ECHO
            termios.tcsetattr(0, termios.TCSANOW, modes)
            os.environ["TMPDIR"] = place.tmp
            os.execvp(command[0], command)

    def read_until(self, words):
        while words not in self.text:
            ready, _, _ = select.select([self.fd], [], [], 20)
            assert ready, f"no '{words}' in {self.text!r}"
            try:
                self.text += os.read(self.fd, 4096).decode()
            except OSError:
                assert words in self.text, f"no '{words}' in {self.text!r}"

    def write(self, keys):
        os.write(self.fd, keys.encode())

    def end(self):
        try:
            while True:
                self.text += os.read(self.fd, 4096).decode()
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@test
def an_interrupt_from_the_terminal_reaches_the_command_once():
    with Place() as place:
        terminal = Terminal(place, tool.TOOL, "run", "--", tool.PYTHON, "-c", SOURCES)
        terminal.read_until("ready")
        for key, name in (("\x03", "SIGINT"), ("\x1c", "SIGQUIT")):
            with Held(terminal.pid, terminal.read_until):
                terminal.write(key)
                terminal.read_until(name + " from terminal")
            assert terminal.text.count(name) == 1, terminal.text
            terminal.text = ""
        terminal.write("\x04")
        assert terminal.end() == 0


def state_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


# A shell with job control around the tool, as it is used by people.
SHELL = """
set -m
"$0" run -- "$@"
echo "status $? of the job"
fg %1 >/dev/null
echo "exit $?"
"""


@test
def stop_and_continue_work_as_without_us():
    with Place() as place:
        terminal = Terminal(place, "bash", "-c", SHELL, tool.TOOL,
                            "sh", "-c", "echo ready $$; read x; echo got $x; exit 9")
        terminal.read_until("ready ")
        terminal.read_until("\n")
        terminal.write("\x1a")
        terminal.read_until("of the job")  # the shell took notice that it stopped
        assert "status 148 of the job" in terminal.text, terminal.text
        terminal.write("text\n")
        terminal.read_until("got text")
        terminal.read_until("exit 9")
        terminal.end()


@test
def a_command_that_stops_itself_stops_us_too():
    with Place() as place:
        terminal = Terminal(place, "bash", "-c", SHELL, tool.TOOL,
                            "sh", "-c", "kill -STOP $$; echo continued; exit 9")
        terminal.read_until("of the job")
        terminal.read_until("continued")
        terminal.read_until("exit 9")
        terminal.end()


@test
def a_command_that_takes_no_notice_keeps_us_awake():
    with Place() as place:
        terminal = Terminal(place, "bash", "-c", SHELL, tool.TOOL, "sh", "-c",
                            "trap '' TSTP; echo ready; read x; echo got $x; exit 9")
        terminal.read_until("ready")
        terminal.write("\x1a")
        terminal.write("text\n")
        terminal.read_until("got text")
        terminal.read_until("status 9 of the job")
        terminal.end()


@test
def stopping_us_stops_the_command():
    with Place() as place:
        # A process group with a parent outside of it: in an orphaned one nobody is ever stopped.
        run = start(place, "echo $$; read x; exit 5", preexec_fn=os.setpgrp)
        pid = int(run.stdout.readline())
        run.send_signal(signal.SIGTSTP)
        wait_until(lambda: state_of(pid) == "T", "the command to stop")
        wait_until(lambda: state_of(run.pid) == "T", "the tool to stop")
        run.send_signal(signal.SIGCONT)
        wait_until(lambda: state_of(pid) != "T", "the command to go on")
        run.communicate("\n")
        assert run.returncode == 5


# ---- tiers ---------------------------------------------------------------------------------------


@test
def without_a_cgroup_it_works_at_tier_0_and_says_why():
    need_root()
    with Place() as place:
        # A mount namespace in which no cgroup v2 is to be seen, or none that can be written.
        hide = 'for m in $(awk "/ - cgroup2 /{print \\$5}" /proc/self/mountinfo); do %s; done; '
        for how, reason in (("umount -l $m", "no cgroup v2 is mounted"),
                            ("mount -o remount,ro,bind $m", "Read-only file system")):
            report = place.file("r.json")
            script = hide % how + f'exec "$0" run --report {report} -- sh -c "setsid sleep 1000 &"'
            run = subprocess.run(["unshare", "-m", "sh", "-c", script, tool.TOOL],
                                 capture_output=True, text=True,
                                 env={**os.environ, "TMPDIR": place.tmp})
            if run.returncode == 1 and "unshare" in run.stderr:
                raise Skip("no mount namespaces here")
            assert run.returncode == 0 and "tier T0" in run.stderr, run.stderr
            assert " 1 leftover, removed" in run.stderr
            with open(report) as file:
                assert reason in json.load(file)["tier_reason"]


@test
def a_cgroup_that_takes_no_process_is_done_without():
    """Beneath a threaded cgroup a new one can be made, but nothing can be started in it."""
    need_root()
    tops = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
    top = next((t for t in tops if os.path.exists(t + "/cgroup.procs")), None)
    threaded = f"{top}/test-threaded-{os.getpid()}"
    with Place() as place:
        try:
            os.mkdir(threaded)
            with open(threaded + "/cgroup.type", "w") as file:
                file.write("threaded")
        except OSError as why:
            raise Skip(f"no threaded cgroup here: {why}")
        try:
            report = place.file("r.json")
            script = f'echo 0 >{threaded}/cgroup.procs && exec "$0" run --report {report} -- ' \
                     'sh -c "setsid sleep 1000 &"'
            run = subprocess.run(["sh", "-c", script, tool.TOOL], capture_output=True, text=True,
                                 env={**os.environ, "TMPDIR": place.tmp})
            assert run.returncode == 0 and "tier T0" in run.stderr, run.stderr
            with open(report) as file:
                assert threaded in json.load(file)["tier_reason"]
        finally:
            assert os.listdir(place.tmp) == []
            wait_until(lambda: rmdir(threaded), "the threaded cgroup to empty")


def rmdir(path):
    try:
        os.rmdir(path)
        return True
    except OSError:
        return False


@test
def nothing_of_all_this_is_left():
    """Of our own runs: others may run beside us."""
    for session in tool.SESSIONS:
        assert not any(session in path for path in cgroups()), session
        assert not os.path.exists(f"/tmp/cleanroom-{session}")


if __name__ == "__main__":
    # Where every user can execute it: the build tree may be somebody's home.
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        tool.TOOL = shutil.copy(sys.argv[1], directory)
        os.mkdir(os.path.join(directory, "examples"))
        shutil.copy(os.path.join(sys.argv[2], "examples", "messy"),
                    os.path.join(directory, "examples"))
        tool.SOURCE = directory
        sys.exit(main(sys.argv[3:], after=tool.end_started))
