# SPDX-License-Identifier: MIT
"""Things and files that real programs leave behind, at every tier: leftovers.py TOOL [TEST...]

Each is found, attributed, removed, verified and reported; what cannot be proved to be the run's is
reported and stays; and of each sort a neighbour that was there before, and one that somebody else
makes during the run, survive. Processes, sockets and open files: leftover_processes.py.

CLEANROOM_TEST_FILES says how many files one run leaves [100000; `make soak`: 1000000].
"""

import json
import os
import shutil
import subprocess
import sys

import leave
import leaving
import tool
from leaving import (SECONDS, TAG, Place, doctor, end, levels, outside, read_line, run_at, test)
from tap import Skip, main, wait_until
from tool import NOBODY, Run, is_root, need_root, start

IPC = ["shm", "semaphore", "mqueue", "sysv-shm", "sysv-sem", "sysv-msg"]
FILES = ["file", "fifo"]
OF_ROOT = ["mount", "loop", "netns", "link"]
# A tracker sees who makes these, and therefore also that somebody else did.
SEEN = {"shm", "semaphore", "mqueue", "sysv-shm", *FILES}
# It proves these, but that nothing proves them means nothing; files outside of the run's own
# directory are told, never touched.
PROVABLE = SEEN - set(FILES) | {"loop", "netns"}
if tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) >= (6, 15):
    PROVABLE.add("mount")


def kinds_for(user):
    return [*IPC, *FILES, *(OF_ROOT if is_root() and user is None else [])]


def name_for(kind, who):
    if kind in ("mount", "loop", *FILES):
        return f"/tmp/{TAG}-{kind}-{who}"
    return TAG + who if kind == "link" else f"{TAG}-{kind}-{who}"


def pairs_of(kinds, who):
    return [word for kind in kinds for word in (kind, name_for(kind, who))]


def rows(report, kind, name):
    """What the report has of a thing."""
    if kind == "loop":
        return [r for r in report["resources"] if r["kind"] == kind
                and name in (r["description"] or "")]
    wanted = [name, "/" + name]
    if kind == "mount":
        wanted = [name, name + "/inner"]
    elif kind.startswith("sysv-"):
        wanted = [f"key:0x{leave.key_of(name):08x}"]
    kind = "file" if kind in FILES else kind
    return [r for r in report["resources"] if r["kind"] == kind and r["name"] in wanted]


def expect(report, kind, name, status, there):
    found = rows(report, kind, name)
    told = (kind, report["tier"], name, found)
    assert leave.is_there(kind, name) == there, told
    if status is None:
        assert found == [], told
        return
    assert len(found) == (2 if kind == "mount" else 1), told
    for row in found:
        assert row["origin"] == "found" and row["status"] == status, told
        assert row["verified"] == (status == "removed"), told
        assert (row["reason"] is None) == (status == "removed"), told


class Neighbours:
    """Of each kind one that was there before, "b", and one that comes during the run, "c"."""

    def __init__(self, kinds, user):
        self.kinds, self.user = kinds, user
        self.whose = ["a", "b", "c"]

    def __enter__(self):
        try:
            outside("make", *pairs_of(self.kinds, "b"), user=self.user)
        except BaseException:
            self.__exit__()
            raise
        return self

    def come(self):
        outside("make", *pairs_of(self.kinds, "c"), user=self.user)

    def __exit__(self, *error):
        words = [word for who in self.whose for word in pairs_of(self.kinds, who)]
        outside("undo", *words, user=self.user)


def run_beside(place, how, kinds, tier, user, options=()):
    """The report of a run that leaves one of each kind, "a", while neighbours make theirs, and the
    neighbours; None instead of it if the tier could not be had just then."""
    with Neighbours(kinds, user) as neighbours:
        report = place.file("r.json", "")
        os.chmod(report, 0o666)
        run = start(place, [tool.PYTHON, leaving.LEAVE, how, *pairs_of(kinds, "a")],
                    ["--report", report, *(["--tier", str(tier)] if tier is not None else []),
                     *options], user=user)
        assert read_line(run) == "made", end(run)
        neighbours.come()
        end(run, "\n")
        with open(report) as file:
            told = json.load(file)
        tool.check(told)
        assert told["exit"]["code"] == 0, told
        assert told["unremoved"] == 0, told
        if tier in (None, told["tier"]):
            yield told


# ---- things of the kernel ------------------------------------------------------------------------


def can_list(kind, user):
    """Without the right to mount, message queues are only seen where somebody else has."""
    return kind != "mqueue" or is_root() and user is None or os.path.ismount("/dev/mqueue")


def check_all(told, kinds, user, proved):
    tier = told["tier"]
    for kind in kinds:
        if not can_list(kind, user):
            expect(told, kind, name_for(kind, "a"), None, True)
            continue
        ours, seen = kind in proved, tier == 3 and kind in SEEN
        expect(told, kind, name_for(kind, "a"), "removed" if ours else "foreign", not ours)
        expect(told, kind, name_for(kind, "b"), None, True)
        expect(told, kind, name_for(kind, "c"), None if seen else "foreign", True)


def whats_left_is_told(how, proved):
    with Place() as place:
        for tier, user in levels():
            kinds = kinds_for(user)
            for told in run_beside(place, how, kinds, tier, user):
                check_all(told, kinds, user, proved(tier))


@test
def what_a_child_made_is_removed_if_it_was_tracked_and_told_else():
    whats_left_is_told("child", lambda tier: PROVABLE if tier == 3 else set())


@test
def what_the_command_itself_made_is_proved_where_the_kernel_keeps_the_creator():
    whats_left_is_told("hold", lambda tier: PROVABLE if tier == 3 else {"sysv-shm"})


@test
def forks_are_followed_for_a_user_too_where_the_kernel_allows_it():
    """Since Linux 6.6: then what the kernel knows the maker of is proved."""
    user = NOBODY if is_root() else None
    if "process-events" not in doctor(user)[1]:
        raise Skip("nobody else than root may follow forks here")
    with Place() as place:
        for told in run_beside(place, "child", ["sysv-shm", "sysv-sem", "shm"], None, user):
            expect(told, "sysv-shm", name_for("sysv-shm", "a"), "removed", False)
            expect(told, "sysv-shm", name_for("sysv-shm", "c"), None, True)
            for kind in ("sysv-sem", "shm"):
                expect(told, kind, name_for(kind, "a"), "foreign", True)
                expect(told, kind, name_for(kind, "c"), "foreign", True)


@test
def a_name_with_the_id_of_the_session_is_a_proof_at_every_tier():
    with Place() as place:
        for tier, user in levels():
            kinds = [k for k in ("shm", "semaphore", "mqueue") if can_list(k, user)]
            if is_root() and user is None:
                kinds += ["netns", "mount"]
            words = " ".join(f"{kind} {name_for(kind, '$CLEANROOM_SESSION')}" for kind in kinds)
            with Neighbours(kinds, user) as neighbours:
                run = run_at(tier, place, f"exec {tool.PYTHON} {leaving.LEAVE} child {words}",
                             user=user, env={"PYTHONDONTWRITEBYTECODE": "1"})
                neighbours.whose.append(run.json["session"])
                assert run.status == 0, run.err
                for kind in kinds:
                    expect(run.json, kind, name_for(kind, run.json["session"]), "removed", False)
                    expect(run.json, kind, name_for(kind, "b"), None, True)


@test
def with_ipc_of_its_own_nothing_of_it_is_left_not_even_what_cannot_be_proved():
    with Place() as place:
        for tier, user in levels():
            probe = Run(place, ["true"], ["--tier", str(tier), "--isolate", "ipc"], user=user)
            if probe.status == 125:
                raise Skip(probe.err.strip())
            kinds = [kind for kind in IPC if user is None or kind != "mqueue"]
            for told in run_beside(place, "child", kinds, tier, user, ["--isolate", "ipc"]):
                for kind in kinds:
                    expect(told, kind, name_for(kind, "a"), None, False)
                    assert leave.is_there(kind, name_for(kind, "b"))
                    assert leave.is_there(kind, name_for(kind, "c"))


@test
def with_a_network_of_its_own_its_links_go_with_it():
    need_root()
    with Place() as place:
        for tier, _ in levels()[:-1]:
            for told in run_beside(place, "child", ["link"], tier, None, ["--isolate", "net"]):
                expect(told, "link", name_for("link", "a"), None, False)
                expect(told, "link", name_for("link", "b"), None, True)
                expect(told, "link", name_for("link", "c"), "foreign", True)


@test
def mounts_in_mounts_in_the_directory_are_proved_at_every_tier():
    need_root()
    with Place() as place:
        for tier, _ in levels()[:-1]:
            run = run_at(tier, place, f"mkdir $TMPDIR/t; exec {tool.PYTHON} {leaving.LEAVE} make "
                                      "mount $TMPDIR/t/mount loop $TMPDIR/image")
            assert run.status == 0, run.err
            mounts = run.found("mount", run.json["session"])
            [loop] = [r for r in run.found("loop") if run.json["session"] in r["description"]]
            assert len(mounts) == 2, run.err
            for row in (*mounts, loop):
                assert row["status"] == "removed" and row["verified"], row
            assert run.json["unremoved"] == 0
            with open("/proc/self/mountinfo") as file:
                assert run.json["session"] not in file.read()


# Where nothing has made a named network namespace yet.
FIRST_NAMESPACE = f"""mount -t tmpfs run /run && exec "$0" run --report "$1" -- sh -c '
ip netns add {TAG}a; echo made; read x'"""


def mounts_of(process):
    return os.readlink(f"/proc/{process.pid}/ns/mnt")


class FirstNamespace:
    """A run that makes the first one, with an own /run; `inside` runs commands there."""

    def __init__(self, place):
        need_root()
        if doctor()[0] < 3:
            raise Skip("needs tracking")
        self.report = place.file("r.json")
        env = {**os.environ, "TMPDIR": place.tmp, "PATH": tool.PATH, **tool.state_of(None)}
        self.run = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", FIRST_NAMESPACE, tool.TOOL, self.report], env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        tool.STARTED.append(self.run)
        if read_line(self.run) != "made":
            raise Skip(f"no mount namespace here: {end(self.run)}")
        self.there = ["nsenter", "-t", str(self.run.pid), "-m"]
        self.keeper = subprocess.Popen([*self.there, "sleep", "1000"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        wait_until(lambda: mounts_of(self.keeper) == mounts_of(self.run), "nsenter")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.keeper.kill()
        self.keeper.wait()

    def inside(self, *command):
        self.there[2] = str(self.keeper.pid)
        return subprocess.run([*self.there, *command], capture_output=True, text=True,
                              timeout=SECONDS)

    def directory(self):
        """What was told of the directory of all named ones."""
        err = end(self.run, "\n")
        assert self.run.returncode == 0, err
        with open(self.report) as file:
            told = json.load(file)
        tool.check(told)
        [row] = [r for r in told["resources"]
                 if r["name"] == "/run/netns" and r["kind"] == "file"]
        return row


@test
def the_place_that_a_run_made_for_namespaces_goes_with_them():
    with Place() as place, FirstNamespace(place) as first:
        row = first.directory()
        assert row["status"] == "removed" and row["verified"], row
        left = first.inside("ls", "-A", "/run")
        assert left.returncode == 0 and left.stdout == "", left


@test
def who_uses_the_place_that_a_run_made_for_namespaces_is_not_harmed():
    """The first `ip netns add` on a machine mounts /run/netns; others' lie beneath it then."""
    with Place() as place, FirstNamespace(place) as first:
        assert first.inside("ip", "netns", "add", TAG + "c").returncode == 0
        row = first.directory()
        assert row["status"] == "foreign" and "others use it" in row["reason"], row
        names = first.inside("ip", "netns", "exec", TAG + "c", "ip", "netns")
        assert names.stdout.split() == [TAG + "c"], names


# ---- files ---------------------------------------------------------------------------------------

EVERY_SORT = """
import os, socket, sys
os.chdir(os.environ["TMPDIR"])
for name in [b"-rf", b" ", b"two\\nlines", b"\\x1b[31mred", b"\\xff\\xfe", b"*", b"l" * 255,
             b"..."]:
    open(name, "w").close()
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
os.symlink(sys.argv[1], "link")
os.link(sys.argv[1], "hard") if os.access(sys.argv[1], os.W_OK) else None
os.mkdir("read-only"); os.mkdir("read-only/inner"); open("read-only/inner/file", "w").close()
os.chmod("read-only/inner", 0o555); os.chmod("read-only", 0o555)
os.mkdir("locked"); open("locked/file", "w").close(); os.chmod("locked", 0)
for i in range(30): os.mkdir("d" * 200); os.chdir("d" * 200)  # 6000 bytes: PATH_MAX is 4096
open("deep", "w").close()
"""


@test
def files_of_every_sort_go_and_what_they_lead_to_stays():
    with Place() as place:
        target = place.file("target", "text")
        os.mkdir(place.file("tmp/cleanroom-neighbour"))
        beside = place.file("tmp/cleanroom-neighbour/fifo")
        os.mkfifo(beside)
        os.chmod(place.file("tmp/cleanroom-neighbour"), 0o555)
        for tier, user in levels():
            if user is not None:
                os.chown(target, user, user)
            run = run_at(tier, place, [tool.PYTHON, "-c", EVERY_SORT, target], user=user)
            assert run.status == 0, run.err
            types = {r["name"]: r["type"] for r in run.found("file")}
            assert types["fifo"] == "fifo" and types["socket"] == "socket", types
            assert types["link"] == "symlink" and types["read-only/inner/file"] == "regular", types
            assert {"two\nlines", "-rf", "locked/file", "l" * 255, "..."} <= set(types), types
            assert run.json["files"]["directories"] == 30 + 3, run.json["files"]
            run.assert_gone()
            assert open(target).read() == "text" and os.path.lexists(beside)
        os.chmod(place.file("tmp/cleanroom-neighbour"), 0o755)
        shutil.rmtree(place.file("tmp/cleanroom-neighbour"))


@test
def files_in_a_directory_of_limited_size_are_saved_and_listed_too():
    need_root()
    with Place() as place:
        run = Run(place, "cd $TMPDIR; mkdir d; echo text >d/file; mkfifo fifo",
                  ["--limit", "disk=1M", "--artifacts", place.file("saved")])
        if "cannot limit" in run.err:
            raise Skip(run.err.strip())
        assert {r["name"] for r in run.found("file")} == {"d", "d/file", "fifo"}, run.err
        assert run.json["files"]["files"] == 1 and run.json["leftovers"] == 3, run.json
        run.assert_gone()
        with open(run.json["artifacts"]["directory"] + "/d/file") as file:
            assert file.read() == "text\n"


@test
def a_hundred_thousand_files_go():
    soak = int(os.environ.get("PNX_TEST_EFFORT", "100")) > 1000
    count = int(os.environ.get("CLEANROOM_TEST_FILES", 1000000 if soak else 100000))
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    script = "import os\nos.chdir(os.environ['TMPDIR'])\n" \
             f"for i in range({count}):\n" \
             "    if i % 1000 == 0: d = str(i // 1000); os.mkdir(d)\n" \
             "    os.mknod(f'{d}/{i}')\n"
    with Place(parent=memory) as place:
        run = Run(place, [tool.PYTHON, "-c", script])
        assert run.json["leftovers"] == count + (count + 999) // 1000, run.json["totals"]
        assert run.json["totals"]["file"] == {"removed": run.json["leftovers"]}
        assert len(run.found("file")) == 1000 and run.json["files"]["files"] == count
        run.assert_gone()


@test
def nothing_of_all_this_is_left():
    for session in tool.SESSIONS:
        assert not any(session in path for path in tool.cgroups()), session
    for place in ("/tmp", "/dev/shm"):
        left = [name for name in os.listdir(place) if TAG in name]
        assert left == [], left
    with open("/proc/self/mountinfo") as file:
        assert TAG not in file.read()


if __name__ == "__main__":
    sys.exit(leaving.apart(lambda: main(sys.argv[2:], after=tool.end_started)))
