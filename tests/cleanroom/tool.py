# SPDX-License-Identifier: MIT
"""What the tests of the tool share: running it, looking at what it told and at what is left."""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

from tap import Skip

NOBODY = 65534
NOBODY_ELSE = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

TOOL = None    # the program under test
SOURCE = None  # the top of the source tree
STATE = None   # where each user has a state directory; None: that of the user


def state_of(user):
    """What a run of this user is told of that; another's directory would be refused."""
    if STATE is None:
        return {}
    path = os.path.join(STATE, str(os.geteuid() if user is None else user))
    if not os.path.isdir(path):
        os.mkdir(path, 0o700)
        if user is not None:
            os.chown(path, user, user)
    return {"CLEANROOM_STATE_DIR": path}


def apart(run):
    """Runs with a copy of the tool that every user can execute, and with state of its own."""
    global TOOL, STATE
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        source = os.path.dirname(os.path.abspath(sys.argv[1]))
        TOOL = shutil.copy(sys.argv[1], directory)
        for helper in ("each", "config", "report", "completion"):
            if os.path.exists(f"{source}/cleanroom-{helper}"):
                shutil.copy(f"{source}/cleanroom-{helper}", directory)
        STATE = os.path.join(directory, "state")
        os.mkdir(STATE)
        return run()


def is_root():
    return os.geteuid() == 0


def need_root():
    if not is_root():
        raise Skip("needs root")


def each_user(python=False):
    """Whom a test is run as: as root at the highest tier, as an unprivileged user at tier 0."""
    if not is_root():
        return [None]
    if not python:
        return [None, NOBODY]
    usable = subprocess.run(["sh", "-c", f"test -x {PYTHON}"], **NOBODY_ELSE).returncode == 0
    return [None, NOBODY] if usable else [None]


# Without directories that not every user may enter: there, no command is found to be missing.
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
# For programs that a test runs. The one that runs the tests may lie in somebody's home.
PYTHON = next(p for p in ("/usr/bin/python3", sys.executable) if os.access(p, os.X_OK))


class Place:
    """A directory of the test's own, in which TMPDIR lies; it must be empty when the test ends."""

    def __init__(self, mode=0o755, parent=None):
        self.path = tempfile.mkdtemp(prefix="cleanroom-test-", dir=parent)
        self.tmp = os.path.join(self.path, "tmp")
        os.mkdir(self.tmp)
        os.chmod(self.path, mode)
        os.chmod(self.tmp, 0o1777)

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        left = os.listdir(self.tmp)
        shutil.rmtree(self.path)
        if kind is None:
            assert left == [], f"left in TMPDIR: {left}"

    def file(self, name, text=None):
        path = os.path.join(self.path, name)
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        return path


STARTED = []   # processes of `start`
SESSIONS = []  # ids of all that `Run` ran


def end_started():
    """Ends what a test that failed left running."""
    for process in STARTED:
        if process.poll() is None:
            process.terminate()
            process.communicate()
    STARTED.clear()


def start(place, command, options=(), user=None, env=None, **how):
    """Starts `cleanroom run OPTIONS -- COMMAND`; a text is run by sh. Its stdin is a pipe."""
    if isinstance(command, str):
        command = ["sh", "-c", command]
    for stream in ("stdin", "stdout", "stderr"):
        how.setdefault(stream, subprocess.PIPE)
    if user is not None:
        how.update(NOBODY_ELSE)
    process = subprocess.Popen(
        [TOOL, "run", *options, "--", *command],
        env={**os.environ, "PATH": PATH, "TMPDIR": place.tmp, "LC_ALL": "C", **state_of(user),
             **(env or {})},
        text=how.pop("text", True), errors=how.pop("errors", "surrogateescape"), **how)
    STARTED.append(process)
    return process


class Run:
    """A run that has ended: status, out, err, and its report as `json`."""

    def __init__(self, place, command, options=(), stdin="", **how):
        self.report = place.file("report.json")
        open(self.report, "w").close()
        os.chmod(self.report, 0o666)
        process = start(place, command, [*options, "--report", self.report], **how)
        self.out, self.err = process.communicate(stdin, timeout=100)
        self.status = process.returncode
        with open(self.report, encoding="utf-8") as file:
            text = file.read()
        self.json = json.loads(text) if text else None
        if self.json:
            SESSIONS.append(self.json["session"])
            check(self.json)

    def found(self, kind, text=""):
        return [r for r in self.json["resources"]
                if r["kind"] == kind and r["origin"] == "found" and text in r["name"]]

    def assert_gone(self):
        """Everything in the report was removed, says so, and is not there any more."""
        assert self.json["unremoved"] == 0, self.json
        for resource in self.json["resources"]:
            if resource["status"] == "foreign":
                continue  # somebody else's, who came and went meanwhile
            assert resource["verified"], resource
            if resource["kind"] == "process":
                assert not is_running(resource["id"]), resource
            elif resource["kind"] in ("tempdir", "cgroup"):
                assert not os.path.lexists(resource["name"]), resource


def is_running(identity):
    pid, start_time = identity.split(":")
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[19] == start_time


KEYS = {
    "format": int, "session": str, "name": str, "job": int, "attempt": int, "tier": int,
    "tier_name": str, "tier_reason": (str, type(None)), "isolate": list, "command": list,
    "started": (str, type(None)), "duration_ms": float, "cleanup_ms": float, "exit": dict,
    "cleaned_by": str, "supervisor_died": bool, "limits": list, "hooks": list,
    "artifacts": (dict, type(None)), "warnings": list, "resources": list, "files": dict,
    "totals": dict, "leftovers": int, "unremoved": int, "foreign": int, "kept": int,
    "unverified": int, "unlisted": int,
}
RESOURCE_KEYS = {
    "kind": str, "type": (str, type(None)), "id": str, "name": str,
    "description": (str, type(None)), "origin": str, "owner": (str, type(None)), "priority": str,
    "created": (str, type(None)), "removed": (str, type(None)), "status": str, "verified": bool,
    "attempts": int, "duration_ms": float, "bytes": int, "reason": (str, type(None)),
}


def check(report):
    """The keys are those that are documented, and the sums are right."""
    assert {k: True for k in KEYS} == {k: isinstance(report[k], t) for k, t in KEYS.items()}, report
    assert set(report) == set(KEYS)
    assert set(report["exit"]) == {"code", "signal", "timed_out"}
    for resource in report["resources"]:
        for key, kind in RESOURCE_KEYS.items():
            assert isinstance(resource[key], kind), (key, resource)
        assert set(resource) == set(RESOURCE_KEYS)
        went = resource["status"] in ("removed", "already gone", "gone late")
        assert (resource["removed"] is not None) == went, resource
        assert went or not resource["verified"], resource
    totals = sum(sum(by.values()) for by in report["totals"].values())
    assert totals == len(report["resources"]) + report["unlisted"], report["totals"]
    found = [r for r in report["resources"]
             if r["origin"] == "found" and r["status"] != "foreign"]
    assert report["leftovers"] == len(found) + report["unlisted"]


def cgroups():
    """Every cgroup of ours that there is."""
    return set(glob.glob("/sys/fs/cgroup/**/cleanroom-*", recursive=True))
