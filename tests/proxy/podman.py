#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Podman as the engine: its own client, and that of Docker.

Usage: with_engine --podman podman.py CLEANROOM-DOCKER [TEST...]
"""

import json
import os
import subprocess
import sys

import clients_support as support
from clients_support import DIRECT, IMAGE, PLACE, Proxy, SESSION
from tap import Skip, main, test

PROXY = None
BEFORE = None


def podman(env, *words, status=0, url=None, **more):
    done = subprocess.run(["podman", "--remote", "--url", url or env["DOCKER_HOST"], *words],
                          env=env, capture_output=True, text=True, timeout=120, check=False,
                          **more)
    assert status is None or done.returncode == status, \
        f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def direct(*words):
    return podman(dict(os.environ, DOCKER_CONFIG=PLACE), *words, url=DIRECT)


def what_is_there():
    return {kind: sorted(direct(*words).split()) for kind, words in {
        "containers": ("ps", "-aq", "--no-trunc"),
        "pods": ("pod", "ls", "-q", "--no-trunc"),
        "networks": ("network", "ls", "-q"),
        "volumes": ("volume", "ls", "-q"),
        "images": ("images", "-aq", "--no-trunc"),
    }.items()}


def proxy():
    global PROXY, BEFORE
    support.need_engine()
    if PROXY is None:
        BEFORE = what_is_there()
        PROXY = Proxy()
    return PROXY


def by_proxy(*words, **more):
    return podman(proxy().env, *words, **more)


def mine(*words):
    about = json.loads(direct(*words))
    about = about[0] if isinstance(about, list) else about
    labels = about.get("Labels") or about.get("labels") or about.get("Config", {}).get("Labels")
    assert labels and labels.get(SESSION) == proxy().session, about


@test
def its_own_client():
    by_proxy("volume", "create", "v1")
    by_proxy("network", "create", "n1")
    by_proxy("create", "--name", "c1", "-v", "v2:/named", "-v", "/anonymous", "--network", "none",
             IMAGE, "true")
    by_proxy("pod", "create", "--name", "p1", "--infra=false")
    by_proxy("commit", "c1", "i1")
    os.mkdir(f"{PLACE}/context")
    with open(f"{PLACE}/context/Dockerfile", "w", encoding="utf-8") as file:
        file.write(f"FROM {IMAGE}\nCOPY Dockerfile /copy\n")
    by_proxy("build", "-t", "i2", f"{PLACE}/context")
    for words in (("volume", "inspect", "v1"), ("volume", "inspect", "v2"),
                  ("network", "inspect", "n1"), ("inspect", "c1"), ("pod", "inspect", "p1"),
                  ("inspect", "i1"), ("inspect", "i2")):
        mine(*words)
    by_proxy("volume", "create", "v1", status=125)  # it exists


@test
def containers_that_run():
    if not by_proxy("run", "--rm", "--network", "none", IMAGE, "echo", "hello", status=None):
        raise Skip("Podman starts no containers here")
    assert by_proxy("run", "--rm", "-i", "--network", "none", IMAGE, "cat",
                    input="x" * 100000) == "x" * 100000
    assert by_proxy("run", "--rm", "--network", "none", IMAGE, "sh", "-c", "exit 7",
                    status=7) == ""


@test
def the_client_of_docker():
    to = proxy()
    to.docker("create", "--name", "d1", IMAGE, "true")
    to.docker("volume", "create", "d2")
    mine("inspect", "d1")
    mine("volume", "inspect", "d2")
    assert "d1" in to.docker("ps", "-a", "--format", "{{.Names}}")


@test
def afterwards_the_engine_is_as_before():
    to = proxy()
    to.stop()
    rows = to.sweep()
    assert all(row["verified"] for row in rows), rows
    assert "pod" in [row["detail"] for row in rows], rows
    now = what_is_there()
    assert now == BEFORE, (BEFORE, now)


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
