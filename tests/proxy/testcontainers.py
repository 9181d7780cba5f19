#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A testcontainers library, that for Node, as it is in the npm registry.

Usage: testcontainers.py CLEANROOM-DOCKER WITH-ENGINE DIRECTORY

The library is installed once, into DIRECTORY; where that cannot be done, the test is skipped. Then
this program runs itself by WITH-ENGINE.
"""

import json
import os
import shutil
import subprocess
import sys

VERSION = "10.28.0"
HERE = os.path.dirname(os.path.abspath(__file__))


def skip(why):
    print(f"1..1\nok 1 - testcontainers # SKIP {why}")
    sys.exit(0)


def install(directory):
    if os.path.exists(f"{directory}/node_modules/testcontainers/package.json"):
        return
    if not shutil.which("node") or not shutil.which("npm"):
        skip("node and npm are not installed")
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/package.json", "w", encoding="utf-8") as file:
        json.dump({"name": "pnx-test", "private": True}, file)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent",
         f"testcontainers@{VERSION}"], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(f"{directory}/node_modules", ignore_errors=True)
        skip("npm cannot install testcontainers: " + done.stderr.strip().split("\n")[0][:100])


def inside(directory):
    import clients_support as support
    from tap import main, test

    @test
    def testcontainers_for_node():
        support.need_engine()
        before = support.what_is_there()
        to = support.Proxy()
        env = dict(to.env, NODE_PATH=f"{directory}/node_modules")
        done = subprocess.run(["node", f"{HERE}/testcontainers.js"], env=env, text=True,
                              capture_output=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.strip().split("\n")[-1])
        assert (said["output"], said["exitCode"], said["outside"]) == ("hello", 0, "hello"), said
        for container in said["ids"]:
            assert support.labels_of("inspect", container)[support.SESSION] == to.session
        assert support.labels_of("network", "inspect",
                                 said["network"])[support.SESSION] == to.session
        to.stop()
        rows = to.sweep()
        assert sorted(row["kind"] for row in rows) == ["container", "container", "network"], rows
        assert all(row["verified"] for row in rows), rows
        assert support.what_is_there() == before

    return main([])


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[2] == "inside":
        sys.exit(inside(sys.argv[3]))
    install(sys.argv[3])
    os.execv(sys.argv[2], [sys.argv[2], sys.executable, os.path.abspath(__file__), sys.argv[1],
                           "inside", sys.argv[3]])
