# SPDX-License-Identifier: MIT
"""Containers of a command: docker.py TOOL SOURCE [TEST...], run by tests/docker/with_engine.

A shell script that starts containers with the plain `docker` command under `cleanroom run` leaves
nothing, however it is killed. PNX_TEST_EFFORT (per cent) says how often it is killed.
"""

import contextlib
import fcntl
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

import tool
from ledgers import other_boot, rewrite
from tap import TESTS, Skip, main, test, wait_until
from tool import Place, Run, start

EFFORT = int(os.environ.get("PNX_TEST_EFFORT", "100"))
IMAGE = "pnx-test:1"
HOST = os.environ.get("DOCKER_HOST", "")
PLACE = os.environ.get("PNX_TEST_ENGINE", "")
PODMAN = "--podman" in sys.argv
LABEL = "dev.cleanroom.session"


# ---- the engine, past any proxy ------------------------------------------------------------------


class Connection(http.client.HTTPConnection):
    def __init__(self, path, seconds=60):
        super().__init__("engine", timeout=seconds)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(method, path, body=None):
    connection = Connection(HOST.removeprefix("unix://"))
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 400, (method, path, answer.status, text)
        return json.loads(text) if text.strip() else None
    finally:
        connection.close()


def is_background(name):
    """What tests have that run beside the others."""
    return name.lstrip("/").startswith("bg-")


def things():
    """All that there is, as people see it."""
    found = set()
    for one in ask("GET", "/containers/json?all=1"):
        if not is_background(one["Names"][0]):
            found.add(("container", one["Names"][0]))
    for one in ask("GET", "/networks"):
        if not is_background(one["Name"]):
            # The engine makes its own anew when it is started.
            own = one["Name"] in ("bridge", "host", "none", "podman")
            found.add(("network", one["Name"], "" if own else one["Id"]))
    for one in ask("GET", "/volumes")["Volumes"] or []:
        if not is_background(one["Name"]):
            found.add(("volume", one["Name"]))
    for one in ask("GET", "/images/json?all=1"):
        found.add(("image", one["Id"]))
    return found


def labelled(kind):
    path = {"container": "/containers/json?all=1&", "network": "/networks?", "volume": "/volumes?"}
    filters = urllib.parse.quote(json.dumps({"label": [LABEL]}))
    found = ask("GET", f"{path[kind]}filters={filters}")
    found = (found["Volumes"] or []) if kind == "volume" else found
    return [one for one in found if not is_background(one.get("Name") or one["Names"][0])]


def engine_answers():
    with contextlib.suppress(OSError, AssertionError, http.client.HTTPException):
        ask("GET", "/_ping".replace("_ping", "version"))
        return True
    return False


def engine_pid():
    with open(f"{PLACE}/docker.pid") as file:
        return int(file.read())


def engine_log():
    """Its last lines, for who reads of a failure."""
    with open(f"{PLACE}/docker.log", errors="replace") as log:
        return "".join(log.readlines()[-30:])


def need_engine():
    if "PNX_TEST_NO_ENGINE" in os.environ:
        raise Skip("no engine: " + os.environ["PNX_TEST_NO_ENGINE"])


def need_docker():
    need_engine()
    if PODMAN:
        raise Skip("of Docker's own engine only")


class Unchanged:
    """What is in the engine, and on the machine of the sessions, is in the end as it was before."""

    def __enter__(self):
        need_engine()
        self.before = things()
        return self

    def __exit__(self, kind, *rest):
        if kind is None:
            self.check()

    def check(self):
        after = things()
        assert after == self.before, (after - self.before, self.before - after)


def docker(*words, **how):
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=100, **how)


def rows(report, kind):
    return [r for r in report["resources"] if r["kind"] == kind]


# ---- sessions that are killed --------------------------------------------------------------------


def sessions():
    with contextlib.suppress(FileNotFoundError):
        return set(os.listdir(f"{tool.STATE}/sessions"))
    return set()


RECORD = struct.Struct("<IIqHHIHHHH96s")
INTENT, BOUND, GONE, NOTE, CLOSED = 1, 2, 3, 4, 5
ENGINE = 26


def records(session, ledger):
    """The entries of a ledger that are published, as (event, kind)."""
    try:
        with open(f"{tool.STATE}/sessions/{session}/{ledger}", "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    found = []
    for at in range(RECORD.size, len(data) - RECORD.size + 1, RECORD.size):
        crc, _, _, event, kind, *_ = RECORD.unpack_from(data, at)
        if crc:
            found.append((event, kind))
    return found


def progress(session):
    """How many entries there are since an engine was intended, of the session and its proxy."""
    own = records(session, "ledger")
    engine = (INTENT, ENGINE)
    if engine not in own:
        return 0
    return len(own) - own.index(engine) + len(records(session, "docker"))


def processes_of(session):
    """The helpers of a session by their role, and its command."""
    found = {}
    for path in glob.glob("/proc/[0-9]*"):
        pid = int(path[6:])
        try:
            with open(f"{path}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
            with open(f"{path}/environ", "rb") as file:
                environment = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if session in words:
            role = {"serve": "proxy", "sweep": "sweep", "reaper": "reaper"}.get(words[1])
            if role:
                found[role] = pid
        elif f"CLEANROOM_SESSION={session}" in environment and "command" not in found:
            found["command"] = pid
    return found


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


# Who is killed, at one point.
TARGETS = [("supervisor", "reaper"), ("proxy",), ("supervisor",), ("supervisor", "proxy"),
           ("reaper",), ("supervisor", "reaper", "proxy"), ("command",), ("proxy", "command"),
           ("supervisor", "sweep"), ("supervisor", "reaper", "sweep"), ("sweep",)]


def ended(process):
    """Not by the end of its pipes: where all are killed, the command still has them."""
    process.wait(100)
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def nobody_cleans(session):
    """Who is killed has the lock until the kernel has closed its files."""
    with open(f"{tool.STATE}/sessions/{session}/ledger") as ledger:
        try:
            fcntl.flock(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def settled(process, session):
    """All have done what they do by themselves; whom nobody looks after is adopted. How often?"""
    ended(process)
    said, times = "", 0

    def is_over():
        nonlocal said, times
        if session not in sessions():
            return True
        if "reaper" not in processes_of(session):  # one that is just dying has the lock still
            reap = subprocess.run([tool.TOOL, "reap", "--all"], env=environment(), timeout=100,
                                  capture_output=True, text=True)
            said, times = reap.stdout + reap.stderr, times + 1
        return session not in sessions()

    try:
        wait_until(is_over, f"the end of session {session}", 100)
    except AssertionError:
        raise AssertionError(f"{session} is not over: {processes_of(session)} {said}"
                             f"{engine_log()}") from None
    return times


def environment(**more):
    return {**os.environ, "CLEANROOM_STATE_DIR": tool.STATE, "LC_ALL": "C", **more}


def begin(place, script, options=(), **how):
    """Starts a run whose session is known."""
    before = sessions()
    process = start(place, script, options, **how)
    wait_until(lambda: sessions() - before or process.poll() is not None, "a session", 60)
    new = sessions() - before
    return process, new.pop() if new else None


def count_points(script):
    """How many entries there are when nobody is killed."""
    last = 0
    with Place() as place:
        process, session = begin(place, script)
        while session in sessions() and process.poll() is None:
            last = max(last, progress(session))
        process.communicate(timeout=100)
    assert last > 10, last
    return last


def kill_at(point, targets, script):
    """Runs the script, and kills when so many entries are in the ledgers. True: it came to that."""
    with Place() as place:
        process, session = begin(place, script)
        met = False
        while session in sessions() and process.poll() is None:
            if progress(session) >= point:
                found = processes_of(session)
                found["supervisor"] = process.pid
                if "engine" in targets:
                    found["engine"] = engine_pid()
                for target in targets:
                    if target in found:
                        kill(found[target])
                        met = True
                break
        if session:
            settled(process, session)
        else:
            ended(process)
        return met


# ---- what takes its time, beside the other tests -------------------------------------------------

BESIDE = {}


def beside(function):
    """From the beginning on in a thread, in which names begin with "bg-"; told when it is its turn.
    Nothing of it may be left before the engine itself is stopped and killed."""
    def told():
        thread, why = BESIDE[function.__name__]
        thread.join()
        if why:
            raise why[0]

    told.__name__ = function.__name__
    BESIDE[function.__name__] = function
    return test(told)


def start_beside(only):
    for name, function in list(BESIDE.items()):
        why = []

        def run(function=function, why=why):
            try:
                function()
            except Exception as error:  # for whoever waits for it
                why.append(error)

        thread = threading.Thread(target=run, daemon=True)
        BESIDE[name] = (thread, why)
        if not only or name in only:
            thread.start()
        else:
            thread.join = lambda: None


class Apart:
    """A run in a state directory of its own, which no other run adopts."""

    def __init__(self, place, name, script, *options, **env):
        self.state, self.report = place.file(f"state-{name}"), place.file(f"{name}.json")
        os.mkdir(self.state, 0o700)
        self.env = {**environment(TMPDIR=place.tmp, **env), "CLEANROOM_STATE_DIR": self.state}
        self.process = subprocess.Popen(
            [tool.TOOL, "run", f"--report={self.report}", *options, "--", "sh", "-c", script],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def sessions(self):
        return os.listdir(f"{self.state}/sessions")

    def reap(self):
        """By a tool that has no helpers beside it: those of the session's own are written down."""
        alone = shutil.copy(tool.TOOL, self.state)
        return subprocess.run([alone, "reap", "--all"], env=self.env, text=True,
                              capture_output=True, timeout=100)

    def json(self):
        with open(self.report) as file:
            return json.load(file)


@beside
def a_network_that_somebody_else_uses_is_told_and_removed_later():
    need_docker()
    with Place() as place:
        docker("run", "-d", "--name", "bg-neighbour", IMAGE, "sleep", "1000")
        go, ready = place.file("go"), place.file("ready")
        run = Apart(place, "network", f"docker network create bg-shared; touch {ready}\n"
                                      f"until [ -e {go} ]; do sleep 0.01; done",
                    "--fail-on-leftovers")
        wait_until(lambda: os.path.exists(ready), "the network", 60)
        docker("network", "connect", "bg-shared", "bg-neighbour")
        open(go, "w").close()
        assert run.process.wait(100) == 121
        network, = rows(run.json(), "network")
        assert network["status"] == "stuck" and "endpoints" in network["reason"], network
        assert len(run.sessions()) == 1
        docker("rm", "-f", "bg-neighbour")
        reap = run.reap()
        assert reap.returncode == 0 and run.sessions() == [], reap
        assert "bg-shared" not in docker("network", "ls").stdout


@beside
def an_engine_that_is_away_in_the_end_is_told():
    need_docker()
    with Place() as place:
        link = place.file("link.sock")
        os.symlink(HOST.removeprefix("unix://"), link)
        run = Apart(place, "away", f"docker create --name bg-away {IMAGE}; rm {link}",
                    "--fail-on-leftovers", DOCKER_HOST=f"unix://{link}")
        assert run.process.wait(100) == 121
        engine, = rows(run.json(), "engine")
        assert engine["name"] == f"unix://{link}" and engine["status"] == "stuck", engine
        assert "link.sock" in engine["reason"], engine
        assert run.json()["unremoved"] == 1
        os.symlink(HOST.removeprefix("unix://"), link)
        reap = run.reap()
        assert reap.returncode == 0 and run.sessions() == [], reap
        assert "bg-away" not in docker("ps", "-a").stdout


@beside
def an_engine_that_is_away_is_asked_again_as_often_as_it_takes():
    need_docker()
    with Place() as place:
        link, ready = place.file("link.sock"), place.file("ready")
        os.symlink(HOST.removeprefix("unix://"), link)
        run = Apart(place, "again", f"docker create --name bg-again {IMAGE}; touch {ready}\n"
                                    "exec sleep 1000", DOCKER_HOST=f"unix://{link}")
        wait_until(lambda: os.path.exists(ready), "the container", 60)
        os.unlink(link)
        session, = run.sessions()
        for pid in (processes_of(session)["reaper"], run.process.pid):
            kill(pid)
        run.process.wait(60)
        for _ in range(4):  # more often than what does not go is tried
            reap = run.reap()
            assert "link.sock" in reap.stdout + reap.stderr, reap
            assert run.sessions() == [session]
        os.symlink(HOST.removeprefix("unix://"), link)
        reap = run.reap()
        assert reap.returncode == 0 and run.sessions() == [], reap
        assert "bg-again" not in docker("ps", "-a").stdout


# ---- what it is for ------------------------------------------------------------------------------


@test
def a_script_that_starts_containers_leaves_nothing():
    """The page about it, as it stands."""
    need_docker()
    with open(f"{tool.SOURCE}/docs/containers.md") as file:
        page = file.read()
    script = re.search(r"<!-- script: import-test.sh -->\n```sh\n(.*?)```", page, re.S)[1]
    answer = re.search(r"<!-- answer: .*?-->\n```console\n(.*?)```", page, re.S)[1]
    with Place() as place, Unchanged():
        path = place.file("import-test.sh", script)
        run = Run(place, ["sh", path])
        assert run.status == 0, run.err
        left = [line for line in answer.split("\n") if re.match(r" {4}\w", line)]
        assert len(left) == 3
        for line in left:
            assert line in run.err, (line, run.err)
        assert "3 leftovers, removed and verified gone" in run.err, run.err
        run.assert_gone()


@test
def what_it_left_is_in_every_report():
    with Place() as place, Unchanged():
        files = [place.file(f"r.{form}") for form in ("xml", "html", "txt")]
        run = Run(place, f"docker create --name db {IMAGE}; docker volume create vol; exit 0",
                  ["--fail-on-leftovers", *(f"--report={file}" for file in files)])
        assert run.status == 120, (run.status, run.err)
        container, = rows(run.json, "container")
        assert container["name"] == "db" and container["status"] == "removed", container
        assert container["verified"] and container["origin"] == "found", container
        assert IMAGE in container["description"], container
        volume, = rows(run.json, "volume")
        assert volume["id"] == "vol" and volume["verified"], volume
        assert run.json["leftovers"] == 2 and run.json["unremoved"] == 0
        assert run.json["totals"]["container"] == {"removed": 1}, run.json["totals"]
        for file in files:
            with open(file) as report:
                text = report.read()
            assert "container" in text and "db" in text, (file, text)


@test
def a_run_that_connects_to_nothing_asks_nothing_of_the_engine():
    """Only whether it is there: one connection, and not a byte."""
    with Place() as place:
        path = place.file("engine.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(8)
        run = Run(place, "test -S ${DOCKER_HOST#unix://}",
                  env={"DOCKER_HOST": f"unix://{path}"})
        assert run.status == 0, run.err
        listener.setblocking(False)
        connection, _ = listener.accept()
        assert connection.recv(1) == b""
        try:
            listener.accept()
            raise AssertionError("there was a second connection")
        except BlockingIOError:
            pass
        listener.close()
        assert not rows(run.json, "engine") and run.json["leftovers"] == 0


@test
def the_command_is_led_to_the_socket_and_nowhere_else():
    with Place() as place:
        need_engine()
        script = ('env; test -z "$DOCKER_CONTEXT$DOCKER_TLS_VERIFY$DOCKER_CERT_PATH" && '
                  'test $TESTCONTAINERS_RYUK_DISABLED = true && docker version -f {{.Server.Os}}')
        # What Docker's clients do with these beside a socket differs; ours have none of them.
        run = Run(place, script, env={"DOCKER_CONTEXT": "elsewhere", "DOCKER_TLS_VERIFY": "1",
                                      "DOCKER_CERT_PATH": "/nowhere"})
        assert run.status == 0, (run.out, run.err)
        host = re.search(r"^DOCKER_HOST=unix://(.*)$", run.out, re.M)[1]
        assert host != HOST.removeprefix("unix://") and len(host) < 108
        assert run.out.endswith("linux\n") and "CONTAINER_HOST" not in run.out
        off = Run(place, "echo $DOCKER_HOST", ["--docker=off"])
        assert off.out.strip() == HOST, off.out
        remote = Run(place, "echo $CONTAINER_HOST", env={"CONTAINER_HOST": HOST})
        assert remote.out.startswith("unix://") and remote.out.strip() != HOST


@test
def without_an_engine_on_is_an_error_and_auto_is_off():
    with Place() as place:
        env = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
        run = Run(place, "true", ["--docker=on"], env=env)
        assert run.status == 125, run.err
        assert "DOCKER_HOST=unix:///nowhere/docker.sock: No such file" in run.err, run.err
        assert "cleanroom doctor" in run.err, run.err
        run = Run(place, "echo $DOCKER_HOST", env=env)
        assert run.status == 0 and run.out.strip() == env["DOCKER_HOST"], run.out
        config = place.file("config.yaml", "docker: on\ndocker-scope: strict\n")
        run = Run(place, "true", [f"--config={config}"], env=env)
        assert run.status == 125 and "/nowhere/docker.sock" in run.err, run.err
        wrong = Run(place, "true", ["--docker=perhaps"])
        assert wrong.status == 125 and "auto, on or off" in wrong.err
        wrong = Run(place, "true", ["--docker-scope=wide"])
        assert wrong.status == 125 and "warn or strict" in wrong.err


@test
def it_works_with_everything_isolated():
    with Place() as place, Unchanged():
        run = Run(place, f"docker create --name inside {IMAGE}", ["--isolate=all"])
        assert run.status == 0, run.err
        assert len(rows(run.json, "container")) == 1


@test
def where_the_state_directory_is_too_deep_the_socket_is_in_the_TMPDIR():
    with Place() as place, Unchanged():
        state = place.file("deep/" + 60 * "x")
        os.makedirs(state, 0o700)
        run = Run(place, f"echo $DOCKER_HOST; docker create --name deep {IMAGE}",
                  env={"CLEANROOM_STATE_DIR": state})
        assert run.status == 0, run.err
        assert run.out.startswith(f"unix://{place.tmp}/cleanroom-"), run.out
        assert run.json["leftovers"] == 1, run.json  # the socket is none


@test
def each_job_has_a_session_of_its_own():
    with Place() as place, Unchanged():
        lines = place.file("jobs", "".join(f"docker create --name job{i} {IMAGE}\n"
                                           for i in range(3)))
        report = place.file("all.json")
        run = subprocess.run([tool.TOOL, "run", "--each", lines, "-j3", "--report", report],
                             env=environment(TMPDIR=place.tmp), capture_output=True, text=True,
                             timeout=100)
        assert run.returncode == 0, run.stderr
        with open(report) as file:
            jobs = json.load(file)
        found = re.findall(r'"name": "(job\d)"', json.dumps(jobs))
        assert sorted(found) == ["job0", "job1", "job2"], jobs


@test
def what_is_kept_is_told_and_stays():
    with Place() as place:
        with Unchanged():
            run = Run(place, f"docker create --name kept {IMAGE}; docker volume create vol; exit 3",
                      ["--keep=on-failure", "--docker-scope=strict"])
            kept = rows(run.json, "container") + rows(run.json, "volume")
            assert [r["status"] for r in kept] == ["kept", "kept"], run.json
            assert run.json["unremoved"] == 0
            assert not sessions()
            ask("DELETE", "/containers/kept?force=1&v=1")
            ask("DELETE", "/volumes/vol")
            shutil.rmtree(rows(run.json, "tempdir")[0]["name"])
            run = Run(place, f"docker create --name kept {IMAGE}", ["--keep=on-failure"])
            run.assert_gone()


@test
def logs_are_saved_before_containers_are_removed():
    with Place() as place, Unchanged():
        script = (f"docker run --name talks {IMAGE} sh -c 'echo out; echo err >&2'\n"
                  f"docker run --name fails {IMAGE} /no/such/program; exit 0")
        run = Run(place, script, [f"--artifacts={place.path}/saved"])
        saved = run.json["artifacts"]["directory"]
        with open(f"{saved}/docker-talks.log") as file:
            assert sorted(file.read().split()) == ["err", "out"]
        with open(f"{saved}/docker-fails.json") as file:
            assert "/no/such/program" in json.dumps(json.load(file))
        assert run.json["artifacts"]["saved"] >= 3, run.json["artifacts"]
        assert run.json["artifacts"]["failed"] == 0, run.json["artifacts"]


@test
def images_that_were_made_go_and_those_that_were_there_stay():
    need_docker()
    with Place() as place, Unchanged():
        run = Run(place, f"docker create --name from {IMAGE}; docker commit from made:1; "
                         f"docker tag {IMAGE} tagged:1; exit 0")
        assert [r["name"] for r in rows(run.json, "image")] == ["made:1"], run.json
        run.assert_gone()
        docker("rmi", "tagged:1")


@test
def doctor_shows_the_places_and_the_engine():
    need_engine()
    doctor = subprocess.run([tool.TOOL, "doctor", "--json"], env=environment(), text=True,
                            capture_output=True, check=True, timeout=60)
    places = [c for c in json.loads(doctor.stdout)["capabilities"] if c["group"] == "engine places"]
    assert [p["name"] for p in places] == [
        "DOCKER_HOST", "context", "default socket", "rootless socket", "desktop socket",
        "podman rootless", "podman socket"], places
    assert [p["ok"] for p in places] == [True] + 6 * [False], places
    assert places[0]["detail"].startswith(HOST + ", " + ("podman" if PODMAN else "docker")), places


# ---- neighbours ----------------------------------------------------------------------------------


@test
def what_was_there_before_survives():
    """Also under the same name, and where the session uses it."""
    need_docker()
    ask("POST", "/volumes/create", {"Name": "data"})
    ask("POST", "/networks/create", {"Name": "net"})
    # Of a session of somebody else, on another machine: all is as on ours but for its id.
    ask("POST", "/volumes/create", {"Name": "other", "Labels": {
        "dev.cleanroom.managed": "true", "dev.cleanroom.machine": "0123456789abcdef",
        "dev.cleanroom.uid": "4711", LABEL: "01a21c75-adf3-7431-a6fd-92dd40ba1ea4"}})
    docker("run", "-d", "--name", "neighbour", "-v", "data:/data", IMAGE, "sleep", "1000")
    docker("exec", "neighbour", "touch", "/data/precious")
    try:
        with Place() as place, Unchanged():
            run = Run(place, f"docker volume create data; docker create --name neighbour {IMAGE}\n"
                             f"docker run -d --name mine -v data:/d --net net {IMAGE} sleep 1000\n"
                             "docker network connect net neighbour; docker rm -f no-such; exit 0")
            assert [r["name"] for r in rows(run.json, "container")] == ["mine"], run.json
            assert not rows(run.json, "volume") and not rows(run.json, "network"), run.json
            assert docker("exec", "neighbour", "ls", "/data").stdout == "precious\n"
    finally:
        docker("rm", "-f", "-v", "neighbour")
        docker("volume", "rm", "data", "other")
        docker("network", "rm", "net")


@test
def two_sessions_with_equal_names_do_not_touch_each_other():
    with Place() as place, Unchanged():
        go, ready = place.file("go"), place.file("ready")
        first, one = begin(place, f"docker create --name same {IMAGE}; docker volume create same\n"
                                  f"touch {ready}; until [ -e {go} ]; do sleep 0.01; done")
        wait_until(lambda: os.path.exists(ready), "the first session's things", 60)
        ps = subprocess.run([tool.TOOL, "ps", "--json"], env=environment(), capture_output=True,
                            text=True, check=True, timeout=60)
        held = [h["kind"] for s in json.loads(ps.stdout) if s["session"] == one
                for h in s["resources"]]
        assert "engine" in held and "helper" in held, ps.stdout
        second = Run(place, f"docker create --name same {IMAGE}; docker volume create same; exit 0")
        assert not rows(second.json, "container") and not rows(second.json, "volume"), second.json
        assert [c["Labels"][LABEL] for c in labelled("container")] == [one]
        assert [v["Labels"][LABEL] for v in labelled("volume")] == [one]
        open(go, "w").close()
        first.communicate(timeout=100)
        wait_until(lambda: not sessions(), "the end of both", 60)


@test
def a_container_that_ignores_TERM_does_not_hold_anybody_up():
    with Place() as place, Unchanged():
        began = time.monotonic()
        run = Run(place, f"docker run -d --name deaf {IMAGE} sh -c "
                         "'trap \"\" TERM; while :; do sleep 1; done'")
        assert len(rows(run.json, "container")) == 1
        run.assert_gone()
        assert time.monotonic() - began < 60


@test
def many_containers_at_once():
    with Place() as place, Unchanged():
        run = Run(place, f"for i in $(seq 100); do docker create --name n$i {IMAGE} & done; wait")
        assert run.json["totals"]["container"] == {"removed": 100}, run.json["totals"]
        run.assert_gone()


# ---- kill -9 -------------------------------------------------------------------------------------

NETWORK = "" if PODMAN else "docker network create net;"
SCRIPT = (f"docker create --name a -v /data {IMAGE}; {NETWORK} docker volume create vol\n"
          f"docker run -d --name b -v vol:/v {IMAGE} sleep 1000; exit 0")


@test
def a_proxy_that_was_killed_is_started_again_for_the_next_client():
    with Place() as place, Unchanged():
        go, ready, report = place.file("go"), place.file("ready"), place.file("report.json")
        process, session = begin(place, f"docker create --name one {IMAGE}; touch {ready}\n"
                                        f"until [ -e {go} ]; do sleep 0.01; done\n"
                                        f"docker create --name two {IMAGE}",
                                 [f"--report={report}"])
        wait_until(lambda: os.path.exists(ready), "the first container", 60)
        kill(processes_of(session)["proxy"])
        wait_until(lambda: "proxy" not in processes_of(session), "the end of the proxy", 60)
        open(go, "w").close()
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        with open(report) as file:
            told = json.load(file)
        assert sorted(r["name"] for r in rows(told, "container")) == ["one", "two"], told
        assert any("proxy ended with signal 9" in w for w in told["warnings"]), told["warnings"]


@test
def whoever_is_killed_at_any_entry_of_the_ledgers_nothing_is_left():
    """Each point is the moment at which one more entry is there, from the first INTENT on."""
    with Unchanged() as unchanged:
        last = count_points(SCRIPT)
        unchanged.check()
        rounds = max(1, EFFORT // 100)
        points = range(1, last + 1, 1 if EFFORT >= 100 and not PODMAN else 5)
        killed = 0
        for turn in range(rounds if rounds < 11 else 11):
            for point in points:
                targets = TARGETS[(point + turn) % len(TARGETS)]
                killed += kill_at(point, targets, SCRIPT)
                try:
                    unchanged.check()
                except AssertionError as left:
                    raise AssertionError(f"{targets} at {point} of {last}") from left
        print(f"# {killed} times somebody was killed, at {last} points")


# Told here, since what follows stops and kills the engine.
TESTS.extend(told for told in list(TESTS) if told.__name__ in BESIDE)
del TESTS[:len(BESIDE)]


@contextlib.contextmanager
def stopped_engine():
    """dockerd does not get on until the end of the block."""
    pid = engine_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@test
def after_a_reboot_containers_are_found():
    """They outlive it, and of the session there is nothing but what it had written down."""
    with Place() as place, Unchanged():
        ready = place.file("ready")
        process, session = begin(place, f"docker create --name old {IMAGE}; touch {ready}\n"
                                        "exec sleep 1000")
        wait_until(lambda: os.path.exists(ready), "the container", 60)
        # At once, as a machine goes: stopped, nobody does anything about the end of another.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (process.pid, *processes_of(session).values()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        ended(process)
        rewrite(f"{tool.STATE}/sessions/{session}/ledger", other_boot)
        wait_until(lambda: nobody_cleans(session), "those that were killed to let go")
        assert settled(process, session) == 1
        assert "/old" not in [c["Names"][0] for c in labelled("container")]
        # With a machine that really went, its cgroup would have gone.
        for path in glob.glob(f"/sys/fs/cgroup/**/cleanroom-{session}", recursive=True):
            os.rmdir(path)


class SlowToMake:
    """Stands before the engine, and passes creations on only a while after `let_go`."""

    def __init__(self, path):
        self.go, self.waiting, self.made = (threading.Event() for _ in range(3))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(HOST.removeprefix("unix://"))
        answers = threading.Thread(target=self.copy, args=(engine, client), daemon=True)
        answers.start()
        late = False
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"/containers/create" in data:
                    self.waiting.set()
                    self.go.wait(100)
                    time.sleep(0.7)  # by then a sweep that does not wait has been and gone
                    late = True
                engine.sendall(data)
        if late:  # whoever asked is dead, but the engine does not know that
            answers.join(10)
            self.made.set()
        engine.close()

    @staticmethod
    def copy(source, to):
        with contextlib.suppress(OSError):
            source.settimeout(60)
            while data := source.recv(65536):
                to.sendall(data)  # which fails if who asked is dead: that it was made is enough
            to.shutdown(socket.SHUT_WR)

    def let_go(self):
        self.go.set()


@test
def what_is_being_made_when_everybody_dies_is_found_when_it_is_there():
    for targets in (("supervisor", "proxy"), ("supervisor", "reaper", "proxy")):
        with Place() as place, Unchanged():
            path = place.file("slow.sock")
            slow = SlowToMake(path)
            process, session = begin(place, f"docker create --name late {IMAGE}",
                                     env={"DOCKER_HOST": f"unix://{path}"})
            assert slow.waiting.wait(60)
            assert records(session, "docker")[-1][0] == INTENT
            found = processes_of(session)
            found["supervisor"] = process.pid
            for target in targets:
                kill(found[target])
            slow.let_go()
            settled(process, session)
            assert slow.made.wait(60)
            slow.listener.close()


@test
def an_engine_that_hangs_while_it_is_swept_and_goes_on_is_waited_for():
    need_docker()
    with Place() as place, Unchanged():
        ready, go = place.file("ready"), place.file("go")
        process, session = begin(place, f"docker create --name slow {IMAGE}; touch {ready}\n"
                                        f"until [ -e {go} ]; do sleep 0.01; done")
        wait_until(lambda: os.path.exists(ready), "the container", 60)
        with stopped_engine():
            open(go, "w").close()
            wait_until(lambda: "sweep" in processes_of(session), "the sweep", 60)
            time.sleep(0.3)  # it is to wait for an answer, which nobody can see
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert "container" in err and "could not" not in err, err


@test
def an_engine_that_is_killed_is_swept_when_it_is_back():
    """dockerd, and the supervisor of one of two sessions; with_engine starts it anew."""
    need_docker()
    with Place() as place, Unchanged():
        go, running = place.file("go"), []
        for name in ("one", "two"):
            ready = place.file(name)
            running.append(begin(place, f"docker run -d --name {name} {IMAGE} sleep 1000\n"
                                        f"docker volume create {name}; touch {ready}\n"
                                        f"until [ -e {go} ]; do sleep 0.01; done",
                                 ["--fail-on-leftovers"]))
            wait_until(lambda: os.path.exists(ready), "the container", 60)
        kill(engine_pid())
        kill(running[0][0].pid)
        open(go, "w").close()
        # The supervisor and the reaper wait for it: nobody has to look another time.
        assert [settled(*one) for one in running] == [0, 0]
        assert running[1][0].returncode == 120, running[1][0].returncode
        wait_until(engine_answers, "the engine", 60)


# Started anew, the engine first stops what still runs, and waits for it to end.
SOON_STOPPED = SCRIPT.replace("docker run ", "docker run --stop-signal=KILL ")


def remove_half_made_volume():
    """Killed while it makes a volume, dockerd may have made it without its labels. It is told of, and
    stays (tests/proxy/sweep.c)."""
    for one in ask("GET", "/volumes")["Volumes"] or []:
        if one["Name"] == "vol" and not one["Labels"]:
            assert docker("volume", "rm", "vol").returncode == 0


@test
def an_engine_that_is_killed_at_any_entry_of_the_ledgers_is_swept_when_it_is_back():
    """Alone, and together with those who would have cleaned up."""
    need_docker()
    with Unchanged() as unchanged:
        last = count_points(SOON_STOPPED)
        killed = 0
        for point in range(1, last + 1):
            others = TARGETS[point % len(TARGETS)] if point % 4 > 0 else ()
            targets = ("engine", *others)
            killed += kill_at(point, targets, SOON_STOPPED)
            wait_until(engine_answers, "the engine", 60)
            remove_half_made_volume()
            try:
                unchanged.check()
            except AssertionError as left:
                raise AssertionError(f"{targets} at {point} of {last}") from left
        assert killed > last // 2, (killed, last)  # a run may be faster than the one that counted
        print(f"# {killed} times the engine was killed, at {last} points")


if __name__ == "__main__":
    with contextlib.suppress(ValueError):
        sys.argv.remove("--podman")
    tool.TOOL, tool.SOURCE = os.path.abspath(sys.argv[1]), sys.argv[2]
    if PLACE and "PNX_TEST_NO_ENGINE" not in os.environ:
        tool.STATE = f"{PLACE}/state"
        os.mkdir(tool.STATE, 0o700)
        tool.state_of = lambda user: {"CLEANROOM_STATE_DIR": tool.STATE}
    start_beside(sys.argv[3:])
    sys.exit(main(sys.argv[3:], tool.end_started))
