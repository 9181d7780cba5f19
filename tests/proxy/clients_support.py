# SPDX-License-Identifier: MIT
"""A real engine, the proxy before it, and what is in the engine; run by with_engine."""

import json
import os
import socket
import subprocess
import sys
import uuid

from tap import Skip, wait_until

HELPER = sys.argv[1]  # cleanroom-docker
SESSION = "dev.cleanroom.session"
IMAGE = "pnx-test:1"
DIRECT = os.environ.get("DOCKER_HOST")
PLACE = os.environ.get("PNX_TEST_ENGINE")


def need_engine():
    if os.environ.get("PNX_TEST_NO_ENGINE"):
        raise Skip(os.environ["PNX_TEST_NO_ENGINE"])


if PLACE:
    with open(f"{PLACE}/config.json", "w", encoding="utf-8") as config:
        config.write("{}")


class Proxy:
    """A running proxy; `env` is what its clients need."""

    def __init__(self, scope="warn", host=None):
        self.session = str(uuid.uuid4())
        self.path = f"{PLACE}/{self.session[:8]}"
        self.ledger = f"{self.path}.ledger"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(128)
        self.told_path = f"{self.path}.told"
        command = [HELPER, "serve", "--session", self.session, "--ledger", self.ledger,
                   "--scope", scope] + (["--host", host] if host else [])
        with open(self.told_path, "w", encoding="utf-8") as told:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=told, close_fds=False,
                preexec_fn=self.hand_over)
        self.env = dict(os.environ, DOCKER_HOST=f"unix://{self.path}", DOCKER_CONFIG=PLACE,
                        CONTAINER_HOST=f"unix://{self.path}", TESTCONTAINERS_RYUK_DISABLED="true")
        self.env.pop("PYTHONPATH", None)  # the tests' own modules are nobody else's
        wait_until(lambda: self.told() or self.process.poll() is not None, "the proxy")
        assert self.process.poll() is None, "the proxy did not start"

    def hand_over(self):
        os.dup2(self.listener.fileno(), 3)
        os.set_inheritable(3, True)

    def told(self):
        with open(self.told_path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.endswith("\n")]

    def messages(self):
        return [line["message"] for line in self.told() if line["event"] == "told"]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def run(self, *command, status=0, **more):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True,
                              timeout=120, check=False, **more)
        assert status is None or done.returncode == status, \
            f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def docker(self, *words, status=0, **more):
        return self.run("docker", *words, status=status, **more).stdout.strip()

    def connect(self):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(60)
        stream.connect(self.path)
        return stream

    def post(self, target, body):
        """All that is answered."""
        with self.connect() as stream:
            head = (f"POST {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
                    f"Content-Type: application/x-tar\r\nContent-Length: {len(body)}\r\n\r\n")
            stream.sendall(head.encode() + body)
            return b"".join(iter(lambda: stream.recv(65536), b""))

    def upgrade(self, target, headers=""):
        """A file of what follows when it is upgraded to HTTP/2."""
        stream = self.connect()
        stream.sendall((f"POST {target} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n"
                        f"Upgrade: h2c\r\n{headers}\r\n").encode())
        file = stream.makefile("rwb")
        stream.close()
        first = file.readline()
        assert b" 101 " in first, first
        while file.readline().strip():
            pass
        return file

    def sweep(self, status=0, *more):
        done = subprocess.run([HELPER, "sweep", "--session", self.session, "--ledger", self.ledger,
                               "--images", *more], capture_output=True, text=True, timeout=120,
                              check=False)
        assert status is None or done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(30) == 0
        self.listener.close()


def direct(*words, status=0):
    """The docker command, past the proxy."""
    done = subprocess.run(["docker", *words], env=dict(os.environ, DOCKER_HOST=DIRECT,
                                                       DOCKER_CONFIG=PLACE),
                          capture_output=True, text=True, timeout=120, check=False)
    assert status is None or done.returncode == status, \
        f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def what_is_there():
    """All that the engine has."""
    return {kind: sorted(direct(*words).split()) for kind, words in {
        "containers": ("ps", "-aq", "--no-trunc"),
        # Not by ids: those that every engine has are made anew when it is started.
        "networks": ("network", "ls", "--format", "{{.Name}}"),
        "volumes": ("volume", "ls", "-q"),
        "images": ("images", "-aq", "--no-trunc"),
    }.items()}


def labels_of(*words):
    """The labels of a thing: what inspect says, past the proxy."""
    about = json.loads(direct(*words))[0]
    return about.get("Labels") or about.get("Config", {}).get("Labels") or {}
