#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that others wrote, before a real engine: the docker command, docker-compose, docker-py.

Usage: with_engine clients.py CLEANROOM-DOCKER [TEST...]
"""

import concurrent.futures
import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tarfile

import clients_support as support
from clients_support import IMAGE, PLACE, Proxy, SESSION, direct, labels_of, what_is_there
from tap import Skip, main, test, wait_until

PROXY = None
BEFORE = None


def proxy():
    """One for all tests: what one of them leaves must not disturb the next."""
    global PROXY, BEFORE
    support.need_engine()
    if PROXY is None:
        BEFORE = what_is_there()
        PROXY = Proxy()
    return PROXY


def mine(*words):
    assert labels_of(*words).get(SESSION) == proxy().session, labels_of(*words)


# ---- the docker command --------------------------------------------------------------------------

@test
def run_with_input_output_and_a_status():
    to = proxy()
    assert to.docker("run", "--rm", IMAGE, "echo", "hello") == "hello"
    assert to.docker("run", "--rm", "-i", IMAGE, "wc", "-c", input="x" * 300000) == "300000"
    done = to.run("docker", "run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7",
                  status=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@test
def run_on_a_terminal():
    to = proxy()
    leader, follower = pty.openpty()
    process = subprocess.Popen(["docker", "run", "--rm", "-it", IMAGE, "sh"], env=to.env,
                               stdin=follower, stdout=follower, stderr=follower,
                               start_new_session=True)
    os.close(follower)
    os.write(leader, b"echo $((6 * 7))x; exit 3\n")
    seen = b""
    try:
        while b"42x" not in seen:
            seen += os.read(leader, 4096)
        while os.read(leader, 4096):
            pass
    except OSError:  # the other end of the terminal is closed
        pass
    assert process.wait(60) == 3, seen
    os.close(leader)


@test
def what_is_made_has_labels():
    to = proxy()
    to.docker("create", "--name", "c1", "--label", "mine=1", "-v", "/anonymous", "-v", "v1:/named",
              IMAGE, "sleep", "1000")
    to.docker("network", "create", "n1")
    to.docker("volume", "create", "v2")
    mine("inspect", "c1")
    assert labels_of("inspect", "c1")["mine"] == "1"
    mine("network", "inspect", "n1")
    mine("volume", "inspect", "v1")
    mine("volume", "inspect", "v2")
    to.docker("create", "--name", "c1b", "--mount",
              "type=volume,source=v3,target=/x,volume-label=mine=1", "-v", "/tmp:/tmp", IMAGE)
    mine("volume", "inspect", "v3")
    assert labels_of("volume", "inspect", "v3")["mine"] == "1"
    to.docker("commit", "c1", "i1")
    mine("inspect", "i1")
    export = subprocess.Popen(["docker", "export", "c1"], env=to.env, stdout=subprocess.PIPE)
    to.docker("import", "-", "i2", stdin=export.stdout)
    assert export.wait(60) == 0
    mine("inspect", "i2")


@test
def build_by_both_builders():
    to = proxy()
    context = f"{PLACE}/context"
    os.mkdir(context)
    with open(f"{context}/Dockerfile", "w", encoding="utf-8") as file:
        file.write(f"FROM {IMAGE}\nCOPY big /big\nRUN sha256sum /big >/sum\nLABEL mine=1\n")
    with open(f"{context}/big", "wb") as file:
        file.write(os.urandom(3 << 20))
    to.docker("build", "-t", "built1", context)
    # As the command does for BuildKit, but for its session: the archive is the body.
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(context, ".")
    lines = to.post("/v1.41/build?version=2&t=built2", body.getvalue())
    assert b"moby.image.id" in lines, lines
    for image in ("built1", "built2"):
        mine("inspect", image)
        assert labels_of("inspect", image)["mine"] == "1"
        assert to.docker("run", "--rm", image, "sha256sum", "-c", "/sum") == "/big: OK"


@test
def connections_of_build_kit():
    """/session, in which the engine is the client of HTTP/2, and /grpc, in which it is the server."""
    to = proxy()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\0\0\0\4\0\0\0\0\0"
    with to.upgrade("/session", "X-Docker-Expose-Session-Uuid: abc\r\n"
                    "X-Docker-Expose-Session-Name: x\r\n"
                    "X-Docker-Expose-Session-Sharedkey: y\r\n") as stream:
        assert stream.read(len(preface)) == preface
    with to.upgrade("/grpc") as stream:
        stream.write(preface + settings)
        stream.flush()
        assert stream.read(4)[3] == 4  # its settings
    assert any("made by /grpc has no label" in message for message in to.messages())


@test
def exec_with_input_that_ends():
    to = proxy()
    to.docker("run", "-d", "--name", "c2", IMAGE, "sleep", "1000")
    assert to.docker("exec", "-i", "c2", "sh", "-c", "sort; echo end", input="b\na\n") == "a\nb\nend"
    assert to.docker("exec", "-i", "c2", "cat", input="z" * 1000000) == "z" * 1000000
    to.docker("exec", "c2", "sh", "-c", "exit 9", status=9)
    assert to.docker("exec", "-d", "c2", "true") == ""
    to.docker("kill", "c2")


@test
def logs_that_are_followed():
    to = proxy()
    to.docker("run", "-d", "--name", "c3", IMAGE, "sh", "-c",
              "for i in $(seq 2000); do echo line $i; done; read x </dev/zero; sleep 1000")
    follower = subprocess.Popen(["docker", "logs", "-f", "c3"], env=to.env, text=True,
                                stdout=subprocess.PIPE)
    lines = [follower.stdout.readline().strip() for _ in range(2000)]
    assert lines == [f"line {i}" for i in range(1, 2001)]
    # One that is killed is gone for the engine too.
    other = subprocess.Popen(["docker", "logs", "-f", "c3"], env=to.env, stdout=subprocess.PIPE)
    other.stdout.read(1)
    before = to.descriptors()
    other.send_signal(signal.SIGKILL)
    other.communicate()
    wait_until(lambda: to.descriptors() <= before - 2, "the descriptors of a killed client")
    to.docker("kill", "c3")
    assert follower.wait(60) == 0


@test
def events_and_waiting():
    to = proxy()
    events = subprocess.Popen(["docker", "events", "--filter", f"label={SESSION}={to.session}",
                               "--filter", "event=die", "--format", "{{.Action}}"], env=to.env,
                              text=True, stdout=subprocess.PIPE)
    to.docker("create", "--name", "c4", IMAGE, "sh", "-c", "exit 5")
    waiter = subprocess.Popen(["docker", "wait", "c4"], env=to.env, text=True,
                              stdout=subprocess.PIPE)
    to.docker("start", "c4")
    assert events.stdout.readline() == "die\n"
    events.terminate()
    events.communicate()
    assert waiter.communicate(timeout=60)[0] in ("5\n", "0\n")  # 0: it had not been started


@test
def copies_and_archives_of_images():
    to = proxy()
    with open(f"{PLACE}/random", "wb") as file:
        file.write(os.urandom(8 << 20))
    to.docker("create", "--name", "c5", IMAGE, "true")
    to.docker("cp", f"{PLACE}/random", "c5:/data/data")
    to.docker("cp", "c5:/data/data", f"{PLACE}/back")
    with open(f"{PLACE}/random", "rb") as one, open(f"{PLACE}/back", "rb") as other:
        assert one.read() == other.read()
    to.docker("commit", "c5", "big")
    to.docker("save", "-o", f"{PLACE}/big.tar", "big")
    assert os.path.getsize(f"{PLACE}/big.tar") > 8 << 20
    to.docker("rmi", "big")
    to.docker("load", "-i", f"{PLACE}/big.tar")
    assert any("Loaded image: big" in message for message in to.messages())
    mine("inspect", "big")  # it had them when it was saved


@test
def many_at_once():
    to = proxy()
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        ids = list(pool.map(lambda i: to.docker("create", "--name", f"many{i}", IMAGE, "true"),
                            range(30)))
    assert len(set(ids)) == 30
    for i in (0, 29):
        mine("inspect", f"many{i}")


@test
def names_that_exist_are_not_ours():
    to = proxy()
    direct("volume", "create", "theirs")
    direct("create", "--name", "theirs", IMAGE, "true")
    assert to.docker("volume", "create", "theirs") == "theirs"
    assert "volume theirs existed before: it is not of this session, and stays" in to.messages()
    to.docker("create", "--name", "theirs", IMAGE, "true", status=1)
    to.docker("volume", "create", "v2")  # ours: nothing to be told
    assert not any("volume v2" in message for message in to.messages())
    to.docker("rename", "theirs", "theirs2")
    assert any("it is not of this session: POST" in message for message in to.messages())


@test
def an_anonymous_volume_whose_container_goes_without_it():
    to = proxy()
    to.docker("create", "--name", "c6", "-v", "/anonymous", IMAGE, "true")
    name = to.docker("inspect", "c6", "--format", "{{(index .Mounts 0).Name}}")
    to.docker("rm", "c6")
    assert name in what_is_there()["volumes"]
    # With "-v" it goes, and it is no longer looked for.
    to.docker("create", "--name", "c6", "-v", "/anonymous", IMAGE, "true")
    to.docker("rm", "-v", "c6")


@test
def a_session_within_this_one():
    """Its labels stay, so that it finds its things; what it leaves is ours to remove."""
    to = proxy()
    inner = [f"--label={SESSION}=aaaaaaaa-0000-4000-8000-000000000000",
             "--label=dev.cleanroom.id=bbbbbbbb-0000-4000-8000-000000000000",
             "--label=dev.cleanroom.managed=true"]
    to.docker("create", "--name", "c7", *inner, IMAGE, "true")
    assert labels_of("inspect", "c7")[SESSION] == "aaaaaaaa-0000-4000-8000-000000000000"


# ---- others --------------------------------------------------------------------------------------

COMPOSE = """
version: "2.4"
services:
  base:
    image: pnx-test:1
    command: sleep 1000
    healthcheck: {test: ["CMD", "true"], interval: 1s}
    volumes: ["data:/data", "/anonymous"]
  user:
    image: pnx-test:1
    command: sh -c "echo I am here; sleep 1000"
    depends_on: {base: {condition: service_healthy}}
volumes: {data: {}}
"""


@test
def docker_compose():
    to = proxy()
    if not shutil.which("docker-compose"):
        raise Skip("docker-compose is not installed")
    os.mkdir(f"{PLACE}/compose")
    with open(f"{PLACE}/compose/docker-compose.yml", "w", encoding="utf-8") as file:
        file.write(COMPOSE)
    compose = ("docker-compose", "-f", f"{PLACE}/compose/docker-compose.yml", "-p", "pnx")
    to.run(*compose, "up", "-d")
    assert "I am here" in to.run(*compose, "logs").stdout
    assert to.run(*compose, "exec", "-T", "base", "echo", "hi").stdout == "hi\n"
    for words in (("network", "inspect", "pnx_default"), ("volume", "inspect", "pnx_data"),
                  ("inspect", "pnx_base_1"), ("inspect", "pnx_user_1")):
        mine(*words)


DOCKER_PY = """
import docker, sys
client = docker.from_env()
box = client.containers.run("pnx-test:1", ["cat"], stdin_open=True, detach=True)
sock = box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
sock._sock.sendall(b"through and back\\n")
header = sock.read(8)
assert sock.read(int.from_bytes(header[4:], "big")) == b"through and back\\n"
sock._sock.shutdown(1)
code, out = box.exec_run(["sh", "-c", "echo out; exit 4"])
assert (code, out) == (4, b"out\\n"), (code, out)
stats = next(box.stats(stream=True, decode=True))
assert stats["id"] == box.id
tar = b"".join(box.get_archive("/bin/busybox")[0])
assert len(tar) > 100000
box.kill()
"""


@test
def docker_py():
    to = proxy()
    if subprocess.run(["/usr/bin/python3", "-c", "import docker"], capture_output=True,
                      check=False).returncode != 0:
        raise Skip("python3-docker is not installed")
    to.run("/usr/bin/python3", "-c", DOCKER_PY)


# ---- strictly ------------------------------------------------------------------------------------

@test
def strictly_nobody_else_is_there():
    proxy()
    to = Proxy(scope="strict")
    direct("create", "--name", "neighbour", "--label", "n=1", IMAGE, "true")
    direct("volume", "create", "neighbour")
    own = to.docker("create", "--name", "own", IMAGE, "true")
    to.docker("volume", "create", "own")
    assert to.docker("ps", "-aq", "--no-trunc") == own
    assert to.docker("volume", "ls", "-q") == "own"
    to.docker("inspect", "neighbour", status=1)
    for words in (("rm", "-f", "neighbour"), ("logs", "neighbour"),
                  ("cp", "neighbour:/etc/passwd", "-"), ("exec", "neighbour", "true"),
                  ("volume", "rm", "neighbour"), ("rmi", IMAGE)):
        before = len(to.messages())
        said = to.run("docker", *words, status=None).stderr
        told = to.messages()[before:]
        assert [text.split(":")[0] for text in told] == [
            "refused, for it is not of this session"], (words, told)
        # Of what is not there, Docker's older clients say it in their own words only.
        assert re.search(r"No such (container|volume|image)( of this session)?:", said), said
    assert "No such image of this session:" in said, said
    to.docker("system", "prune", "-f", "--volumes")
    assert direct("ps", "-aqf", "name=neighbour")
    assert direct("volume", "ls", "-qf", "name=neighbour")
    assert to.docker("ps", "-aq") == "" and to.docker("volume", "ls", "-q") == ""
    to.docker("run", "--rm", "--network", "bridge", IMAGE, "true")
    direct("rm", "neighbour")
    direct("volume", "rm", "neighbour")
    to.stop()
    assert to.sweep() == []


# ---- the end -------------------------------------------------------------------------------------

@test
def an_engine_that_is_killed():
    to = proxy()
    with open(f"{PLACE}/docker.pid", encoding="utf-8") as file:
        pid = int(file.read())
    events = subprocess.Popen(["docker", "events", "--since=1"], env=to.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Before the first answer, it would ask again.
    assert select.select([events.stdout], [], [], 60)[0]
    os.kill(pid, signal.SIGKILL)
    events.communicate(timeout=60)
    wait_until(lambda: to.run("docker", "version", status=None).returncode == 0,
               "the engine to be there again", 60)
    assert to.docker("run", "--rm", IMAGE, "echo", "again") == "again"


@test
def afterwards_the_engine_is_as_before():
    to = proxy()
    to.stop()
    rows = to.sweep()
    assert all(row["verified"] for row in rows), rows
    details = [row["detail"] for row in rows]
    assert sum(detail.startswith("anonymous, of container") for detail in details) == 1, details
    assert details.count("of a session within this one") == 1, details
    kinds = {row["kind"] for row in rows}
    assert kinds == {"container", "network", "volume", "image"}, kinds
    direct("rm", "theirs2")
    direct("volume", "rm", "theirs")
    now = what_is_there()
    assert now == BEFORE, (BEFORE, now)


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
