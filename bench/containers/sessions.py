#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How soon what a killed session had in a real engine is gone, and what a service costs a run.

Speaks the protocol of the bench programs (bench/README.md). Each workload has an engine of its own:
the program runs itself below with_engine.

    killed-N   a supervisor is killed whose command has started N containers, each with an anonymous
               volume, in a network; the engine's own events say when its first container was asked
               to go, and when the last thing was gone; the session's record, when all was verified
    service    a run whose service is one container, from its start to its end, beside docker run
               and docker rm of the same image
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOOL = "@TOOL@"
WITH_ENGINE = "@WITH_ENGINE@"
VERSION = "@VERSION@"
PATIENCE_S = 120
# How busy others may be just before, as a share of a CPU.
QUIET = 0.1

COUNTS = (1, 10, 50)
OURS, DOCKER = "patinox", "docker run + rm"
KILLED = {f"killed-{n}": [f"killed-{n}-first", f"killed-{n}-gone", f"killed-{n}-verified"]
          for n in COUNTS}
WORKLOADS = {OURS: {**KILLED, "service": ["service"]}, DOCKER: {"service": ["service"]}}


def docker(*words, **how):
    return subprocess.run(["docker", *words], check=True, text=True, stdout=subprocess.PIPE,
                          **how).stdout.strip()


def busy_seconds():
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system = map(int, file.readline().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def others_are_busy():
    before, span = busy_seconds(), 0.3
    time.sleep(span)  # what is measured is what others do while we do nothing
    return (busy_seconds() - before) / span > QUIET


def wait_for(what, done):
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited too long for {what}")
        time.sleep(0.001)


# ---- inside: with an engine ----------------------------------------------------------------------


def import_image(place):
    root = os.path.join(place, "root", "bin")
    os.makedirs(root)
    shutil.copy(shutil.which("busybox"), root)
    for name in ("sh", "sleep", "true"):
        os.symlink("busybox", os.path.join(root, name))
    with subprocess.Popen(["tar", "-C", os.path.dirname(root), "-c", "."],
                          stdout=subprocess.PIPE) as tar:
        docker("import", "-", "bench:1", stdin=tar.stdout)


class Events:
    """What the engine tells from now on; it remembers only its last 256 by itself."""

    def __init__(self, place):
        self.file = os.path.join(place, "events")
        with open(self.file, "w", encoding="ascii") as to:
            self.process = subprocess.Popen(
                ["docker", "events", "--since", f"{time.time():.9f}", "--format", "{{json .}}"],
                stdout=to)

    def gone(self, what):
        return [e for e in self.all() if e["Type"] == what and e["Action"] == "destroy"]

    def all(self):
        with open(self.file, encoding="ascii") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def end(self):
        self.process.terminate()
        self.process.wait()


def killed(place, count):
    state = os.path.join(place, "state")
    sessions = os.path.join(state, "sessions")
    ready = os.path.join(place, "ready")
    script = (f"docker network create bench >/dev/null && seq {count} | xargs -P 4 -I{{}} "
              f"docker run -d --network bench -v /data bench:1 sleep 1000 >/dev/null && "
              f"echo >{ready} && exec sleep 1000")
    environment = {**os.environ, "CLEANROOM_STATE_DIR": state}
    with subprocess.Popen([TOOL, "run", "--quiet", "--docker", "on", "--", "sh", "-c", script],
                          env=environment, stdin=subprocess.DEVNULL) as run:
        wait_for("the containers", lambda: os.path.exists(ready) or run.poll() is not None)
        events = Events(place)
        began = time.time_ns()
        run.kill()
    wait_for("the session's record to go", lambda: not os.listdir(sessions))
    verified = time.time_ns()
    os.unlink(ready)
    wait_for("what the engine tells", lambda: len(events.gone("container")) == count)
    events.end()
    asked = [e["timeNano"] for e in events.all()
             if e["Type"] == "container" and e["Action"] in ("kill", "die", "stop", "destroy")]
    gone = [e["timeNano"] for e in events.all() if e["Action"] == "destroy"]
    return [(t - began) / 1e6 for t in (min(asked), max(gone), verified)]


def service(place, who):
    file = os.path.join(place, "services.yaml")
    with open(file, "w", encoding="ascii") as to:
        to.write("services:\n  one:\n    image: bench:1\n    command: sleep 1000\n")
    environment = {**os.environ, "CLEANROOM_STATE_DIR": os.path.join(place, "state")}
    began = time.monotonic()
    if who == OURS:
        subprocess.run([TOOL, "run", "--quiet", "--services", file, "--", "true"], check=True,
                       env=environment, stdin=subprocess.DEVNULL)
    else:
        docker("rm", "-f", "-v", docker("run", "-d", "bench:1", "sleep", "1000"))
    return [(time.monotonic() - began) * 1e3]


def inside(who, workload, repetitions):
    name, _, count = workload.partition("-")
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        import_image(place)
        noisy = others_are_busy()
        values = [killed(place, int(count)) if name == "killed" else service(place, who)
                  for _ in range(repetitions)]
    for metric, all_of in zip(WORKLOADS[who][workload], zip(*values)):
        print(json.dumps({"subject": "containers", "metric": metric, "unit": "ms", "who": who,
                          "min": min(all_of), "median": statistics.median(all_of),
                          "max": max(all_of), "noisy": noisy}))


# ---- outside -------------------------------------------------------------------------------------


def can_run():
    return os.geteuid() == 0 and all(map(shutil.which, ("dockerd", "docker", "busybox")))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--who", default=OURS)
    parser.add_argument("workload", nargs="?")
    given = parser.parse_args()
    if given.list:
        for who, workloads in WORKLOADS.items() if can_run() else ():
            print(json.dumps({"who": who, "version": VERSION, "workloads": workloads}))
        return 0
    if given.inside:
        inside(given.who, given.workload, given.repetitions)
        return 0
    return subprocess.run([WITH_ENGINE, sys.executable, __file__, "--inside", "--who", given.who,
                           "--repetitions", str(given.repetitions), given.workload],
                          check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
