# SPDX-License-Identifier: MIT
"""Sessions whose supervisor and reaper are dead, as others find them: adoption.py TOOL [TEST...]

Who cleans up, who must not, and what becomes of a state directory that is not as it should be."""

import glob
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import tool
from ledgers import SLOT, other_boot, rewrite
from tap import Skip, main, test, wait_until
from tool import NOBODY, Place, is_root, need_root, start

class State:
    """A state directory of the test's own."""

    def __init__(self, place, name="state"):
        self.place, self.path = place, place.file(name)
        os.mkdir(self.path, 0o700)
        self.env = {**os.environ, "TMPDIR": place.tmp, "PATH": tool.PATH, "LC_ALL": "C",
                    "CLEANROOM_STATE_DIR": self.path}

    def call(self, *arguments, timeout=60):
        return subprocess.run([tool.TOOL, *arguments], env=self.env, capture_output=True,
                              text=True, errors="surrogateescape", timeout=timeout)

    def sessions(self):
        run = self.call("ps", "--json")
        assert run.returncode == 0, run
        return json.loads(run.stdout)

    def ledger(self, session):
        [path] = glob.glob(f"{self.path}/**/{session}/ledger", recursive=True)
        return path

    def reports(self):
        return glob.glob(f"{self.path}/reports/*")

    def start(self, script="echo $CLEANROOM_SESSION; setsid sleep 1000 >/dev/null 2>&1 & read x",
              options=()):
        run = start(self.place, script, ["--grace", "0", *options],
                    env={"CLEANROOM_STATE_DIR": self.path})
        session = run.stdout.readline().strip()
        assert session, run.communicate()
        return run, session

    def leave_dead(self, script="echo $CLEANROOM_SESSION; touch $TMPDIR/file; "
                                "setsid sleep 1000 >/dev/null 2>&1 & read x", options=()):
        """A session whose supervisor and reaper were killed: the reaper first, and both are
        stopped before, so that neither sees the other die."""
        run, session = self.start(script, options)
        self.kill_both(run, session)
        return session

    def kill_both(self, run, session):
        [about] = [s for s in self.sessions() if s["session"] == session]
        os.kill(run.pid, signal.SIGSTOP)
        reaper = about["reaper"]
        os.kill(reaper, signal.SIGKILL)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        wait_until(lambda: state_of(session, self) == "dead", "the session to be dead")


def state_of(session, state):
    found = [s["state"] for s in state.sessions() if s["session"] == session]
    return found[0] if found else None


def members(session):
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                if f"CLEANROOM_SESSION={session}".encode() in file.read().split(b"\0"):
                    found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


def is_clean(place, session):
    return not members(session) and not os.path.exists(f"{place.tmp}/cleanroom-{session}")


# ---- one is elected ------------------------------------------------------------------------------


@test
def of_many_that_race_for_a_dead_session_exactly_one_cleans():
    with Place() as place:
        state = State(place)
        for _ in range(5):
            session = state.leave_dead()
            wait_until(lambda: members(session), "its process, which may be in an execve")
            racers = [subprocess.Popen([tool.TOOL, "reap", session], env=state.env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                      for _ in range(4)]
            texts = []
            for racer in racers:
                out, err = racer.communicate(timeout=60)
                gone = f"there is no session '{session}'" in err  # it came when all was over
                assert racer.returncode == (125 if gone else 0), (racer.returncode, err)
                texts += [err] if "leftovers" in err else []
            assert len(texts) == 1 and " 2 leftovers, removed and verified" in texts[0], texts
            assert is_clean(place, session) and state.sessions() == []
            assert len([r for r in state.reports() if session in r]) == 1, state.reports()


@test
def twenty_that_live_are_not_touched_however_many_reap():
    with Place() as place:
        state = State(place)
        live = [state.start() for _ in range(20)]
        dead = state.leave_dead()
        before = {session: members(session) for _, session in live}
        racers = [subprocess.Popen([tool.TOOL, "reap"], env=state.env, stderr=subprocess.DEVNULL)
                  for _ in range(3)]
        assert [racer.wait(60) for racer in racers] == [0, 0, 0]
        assert is_clean(place, dead)
        told = {s["session"]: s["state"] for s in state.sessions()}
        assert told == {session: "live" for _, session in live}, told
        for run, session in live:
            refused = state.call("reap", session)
            assert f"session {session} lives" in refused.stderr, refused
            assert set(before[session]) <= set(members(session)), session
        for run, session in live:
            run.communicate("\n")
            assert run.returncode == 0 and is_clean(place, session)
        assert state.sessions() == []


@test
def the_next_run_adopts_what_is_dead():
    with Place() as place:
        state = State(place)
        session = state.leave_dead()
        assert state.call("run", "--quiet", "true").returncode == 0
        wait_until(lambda: is_clean(place, session) and state.sessions() == [], "adoption")
        assert len([r for r in state.reports() if session in r]) == 1


@test
def a_killed_supervisor_is_cleaned_up_after_at_once():
    """How long it takes is told, not tested: machines differ."""
    with Place() as place:
        state = State(place)
        spans = []
        for _ in range(5):
            run, session = state.start()
            wait_until(lambda: sleepers(session), "the command's daemon")
            fd = os.pidfd_open(sleepers(session)[0])
            began = time.monotonic()
            run.kill()
            tool_wait(fd)
            spans.append((time.monotonic() - began) * 1000)
            os.close(fd)
            run.communicate()
            wait_until(lambda: is_clean(place, session) and not state.sessions(), "the reaper")
        print(f"# killed until the first is gone: {sorted(spans)[2]:.1f} ms "
              f"({min(spans):.1f} to {max(spans):.1f})")


def sleepers(session):
    return [pid for pid in members(session)
            if open(f"/proc/{pid}/cmdline").read().startswith("sleep\0")]


def tool_wait(fd):
    ready, _, _ = select.select([fd], [], [], 20)
    assert ready, "it was not ended"


@test
def in_another_mount_namespace_nobody_takes_all_that_is_mounted_for_new():
    need_root()
    with Place() as place:
        state = State(place)
        script = "echo $CLEANROOM_SESSION; mount -t tmpfs inside $TMPDIR; read x"
        run = subprocess.Popen(["unshare", "-m", tool.TOOL, "run", "--", "sh", "-c", script],
                               env=state.env, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tool.STARTED.append(run)
        session = run.stdout.readline().strip()
        if not session:
            raise Skip(f"no mount namespaces here: {run.communicate(timeout=60)[1]}")
        state.kill_both(run, session)
        reaped = state.call("reap")
        assert reaped.returncode == 0 and is_clean(place, session), reaped
        with open(f"{state.path}/reports/{session}.json") as file:
            told = json.load(file)
        kinds = {r["kind"] for r in told["resources"] if r["origin"] == "found"}
        assert not kinds & {"mount", "netns"}, told
        assert [w for w in told["warnings"] if "another mount namespace" in w], told["warnings"]


# ---- the state directory -------------------------------------------------------------------------


@test
def a_state_directory_that_is_removed_during_a_run_changes_nothing_else():
    with Place() as place:
        state = State(place)
        run, session = state.start()
        shutil.rmtree(state.path)
        err = run.communicate("\n")[1]
        assert run.returncode in (0, 125) and " 1 leftover, removed and verified" in err, err
        assert is_clean(place, session)


@test
def one_that_is_removed_and_then_the_supervisor_killed_is_cleaned_up_if_there_is_a_reaper():
    with Place() as place:
        state = State(place)
        run, session = state.start()
        shutil.rmtree(state.path)
        run.kill()
        run.communicate()
        time_is_up = time.monotonic() + 2
        while not is_clean(place, session) and time.monotonic() < time_is_up:
            os.sched_yield()
        if not is_clean(place, session):  # the ledger was all that the reaper had to go by
            for pid in members(session):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not members(session), "what is left to end")
            shutil.rmtree(f"{place.tmp}/cleanroom-{session}", ignore_errors=True)
            for path in tool.cgroups():
                if session in path:
                    wait_until(lambda: rmdir(path), "the cgroup to empty")


def rmdir(path):
    try:
        os.rmdir(path)
    except OSError:
        pass
    return not os.path.exists(path)


def refused(place, path, *words, user=None):
    """A run that cannot keep its ledger where it is told to does not begin."""
    run = start(place, "touch ran; exit 3", env={"CLEANROOM_STATE_DIR": path}, user=user,
                cwd=place.tmp)
    err = run.communicate()[1]
    assert run.returncode == 125, (run.returncode, err)
    for word in words:
        assert word in err, err
    assert os.listdir(place.tmp) == [], os.listdir(place.tmp)


@test
def a_state_directory_that_is_not_ours_is_refused():
    with Place() as place:
        os.mkdir(place.file("real"), 0o700)
        os.symlink(place.file("real"), place.file("link"))
        refused(place, place.file("link"), place.file("link"))
        assert os.listdir(place.file("real")) == []
        open(place.file("plain"), "w").close()
        refused(place, place.file("plain"), place.file("plain"))
        refused(place, "relative", "must be an absolute path")
        if is_root():
            os.mkdir(place.file("theirs"), 0o700)
            os.chown(place.file("theirs"), NOBODY, NOBODY)
            refused(place, place.file("theirs"), place.file("theirs"))
            refused(place, place.file("real"), place.file("real"), user=NOBODY)
            assert os.listdir(place.file("theirs")) == []


@test
def a_full_or_read_only_state_directory_is_told_before_anything_is_made():
    need_root()
    with Place() as place:
        small = place.file("small")
        os.mkdir(small)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "small",
                           small]).returncode:
            raise Skip("cannot mount here")
        try:
            refused(place, small, "No space left")
            subprocess.run(["mount", "-o", "remount,ro", small], check=True)
            refused(place, small, "Read-only file system")
        finally:
            subprocess.run(["umount", small], check=True)


def catches(pid, number):
    with open(f"/proc/{pid}/status") as file:
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", file.read(), re.M).group(1)
    return bool(int(caught, 16) >> (number - 1) & 1)


@test
def who_writes_a_ledger_survives_that_somebody_cuts_it():
    """Even between a look at it and writing to it, which is no test's to hit; what is tested is
    that both are prepared, and that the command is not."""
    with Place() as place:
        state = State(place)
        run, session = state.start("echo $CLEANROOM_SESSION; exec cat")
        [about] = [s for s in state.sessions() if s["session"] == session]
        [command] = [pid for pid in members(session) if not catches(pid, signal.SIGBUS)]
        assert catches(run.pid, signal.SIGBUS) and catches(about["reaper"], signal.SIGBUS)
        os.truncate(state.ledger(session), 0)
        err = run.communicate(timeout=60)[1]
        assert run.returncode in (0, 125), (command, run.returncode, err)
        wait_until(lambda: is_clean(place, session), "the clean-up")


# ---- ledgers that are not as they should be ------------------------------------------------------


DAMAGE = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:100],
    "garbage": lambda data: os.urandom(4096),
    "text": lambda data: b"this is no ledger\n" * 500,
    "another version": lambda data: data[:8] + struct.pack("<I", 99) + data[12:],
    "a wrong checksum": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
}


@test
def a_damaged_ledger_is_told_and_destroys_nothing():
    with Place() as place:
        for what, change in DAMAGE.items():
            state = State(place, "state-" + what.replace(" ", "-"))
            session = state.leave_dead()
            path = state.ledger(session)
            with open(path, "rb") as file:
                whole = file.read()
            with open(path, "wb") as file:
                file.write(change(whole))
            alive = members(session)
            shown = state.call("ps")
            assert shown.returncode == 0 and session in shown.stdout, (what, shown)
            reaped = state.call("reap")
            if "unknown" in shown.stdout:
                assert reaped.returncode == 121 and session in reaped.stderr, (what, reaped)
            else:  # nothing was in it: that is the ledger of one that died before it made anything
                assert what == "empty" or what == "cut off", (what, shown)
            assert members(session) == alive != [], what
            assert os.path.exists(f"{place.tmp}/cleanroom-{session}/file"), what
            # As it was it is of use again, if it is there still.
            if os.path.exists(os.path.dirname(path)):
                with open(path, "wb") as file:
                    file.write(whole)
                assert state.call("reap").returncode == 0
                assert is_clean(place, session) and state.sessions() == [], what
            else:
                for pid in alive:
                    os.kill(pid, signal.SIGKILL)
                wait_until(lambda: not members(session), "what is left to end")
                shutil.rmtree(f"{place.tmp}/cleanroom-{session}")
                for group in tool.cgroups():
                    if session in group:
                        wait_until(lambda: rmdir(group), "the cgroup to empty")


def in_the_future(record):
    record[8:16] = struct.pack("<q", struct.unpack("<q", record[8:16])[0] + 10**17)


@test
def a_clock_that_went_back_changes_nothing():
    """All times in the ledger lie years ahead: nothing is decided by them."""
    with Place() as place:
        state = State(place)
        session = state.leave_dead()
        rewrite(state.ledger(session), lambda header: header.__setitem__(
            slice(16, 24), struct.pack("<q", struct.unpack("<q", header[16:24])[0] + 10**17)),
            in_the_future)
        assert state_of(session, state) == "dead", state.call("ps")
        assert state.call("reap").returncode == 0
        assert is_clean(place, session) and state.sessions() == []


def to_another_user(record):
    at = record.find(b" user=0:0 ")
    if at >= 0:
        record[at:at + 10] = b" user=1:1 "


@test
def a_hook_of_somebody_else_is_not_run():
    """Not even by root, who could: a ledger of root's has hooks of root's."""
    need_root()
    with Place() as place:
        os.chmod(place.path, 0o777)
        for change, ran in ((None, "0\n"), (to_another_user, None)):
            state = State(place, f"state-{ran}")
            told = place.file(f"told-{change is None}")
            session = state.leave_dead(options=["--on-exit", f"id -u >{told}"])
            if change:
                rewrite(state.ledger(session), None, change)
            reaped = state.call("reap")
            assert reaped.returncode == 0 and is_clean(place, session), reaped
            with open(f"{state.path}/reports/{session}.json") as file:
                [hook] = json.load(file)["hooks"]
            if ran:
                assert hook["exit"]["code"] == 0 and open(told).read() == ran, hook
            else:
                assert "not run: it is one of uid 1" in hook["reason"], hook
                assert not os.path.exists(told), hook


def replace_supervisor(identity):
    """Another supervisor, in as many bytes as there are."""
    def change(record):
        payload = bytes(record[32:])
        at = payload.find(b"supervisor")
        if at < 0:
            return
        length = struct.unpack("<H", record[28:30])[0]
        key, _, value = payload[:length].partition(re.search(rb"[^a-z]", payload[at:]).group())
        separator = payload[len(key):len(key) + 1]
        text = key + separator + identity(value.decode()).encode()
        record[28:30] = struct.pack("<H", len(text))
        record[32:] = text.ljust(SLOT - 32, b"\0")
    return change


@test
def a_pid_that_was_given_out_again_is_not_the_supervisor():
    with Place() as place:
        state = State(place)
        session = state.leave_dead()
        stranger = subprocess.Popen(["sleep", "1000"])
        try:
            def other(value):
                pid, start_time, handle, rest = value.split(":", 3)
                return f"{stranger.pid}:{start_time}:{handle}:{rest}"
            rewrite(state.ledger(session), None, replace_supervisor(other))
            told = [s for s in state.sessions() if s["session"] == session]
            assert told and told[0]["state"] == "dead", told
            assert state.call("reap").returncode == 0
            assert is_clean(place, session) and stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


@test
def after_a_reboot_only_what_outlived_it_is_looked_for():
    with Place() as place:
        state = State(place)
        session = state.leave_dead()
        alive = members(session)
        rewrite(state.ledger(session), other_boot)
        reaped = state.call("reap")
        try:
            assert reaped.returncode == 0, reaped
            assert members(session) == alive != [], "pids of another boot are strangers'"
            assert not os.path.exists(f"{place.tmp}/cleanroom-{session}")
            assert state.sessions() == []
        finally:
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not members(session), "what is left to end")
            for group in tool.cgroups():
                if session in group:
                    wait_until(lambda: rmdir(group), "the cgroup to empty")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        tool.TOOL = shutil.copy(sys.argv[1], directory)
        sys.exit(main(sys.argv[2:], after=tool.end_started))
