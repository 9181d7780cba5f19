# SPDX-License-Identifier: MIT
"""Tests that docs/test-runners.md is true: runners.py TOOL SOURCE [TEST...]

Each section's files are written down and its commands are run, as they stand in the page.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import tool
from tap import Skip, main, test
from tool import state_of

PAGE = os.path.join(sys.argv[2], "docs", "test-runners.md")
FENCE = re.compile(r"<!-- (file (\S+)|runner) -->\n```\w*\n(.*?)^```$", re.M | re.S)


def section(title):
    """The files of the page's beginning and of a section; its commands."""
    with open(PAGE) as file:
        parts = re.split(r"^## (.*)$", file.read(), flags=re.M)
    files, commands = {}, ""
    for text in (parts[0], parts[parts.index(title) + 1]):
        for _, name, body in FENCE.findall(text):
            if name:
                files[name] = body
            else:
                commands += body
    return files, commands


def run(title, *programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"needs {program}")
    files, commands = section(title)
    with tempfile.TemporaryDirectory() as directory:
        for name, body in files.items():
            path = os.path.join(directory, name)
            with open(path, "w") as file:
                file.write(body)
            if body.startswith("#!"):
                os.chmod(path, 0o755)
        path = os.path.dirname(tool.TOOL) + ":" + os.environ["PATH"]
        done = subprocess.run(
            ["sh", "-e", "-c", commands], cwd=directory, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "MESON_TESTTHREADS": "2",
                 "CTEST_OUTPUT_ON_FAILURE": "1", "TMPDIR": directory, **state_of(None)})
        text = done.stdout
        for log in ("build/meson-logs/testlog-cleanroom.txt", "daemon.log", "report.xml"):
            if os.path.exists(os.path.join(directory, log)):
                with open(os.path.join(directory, log)) as file:
                    text += file.read()
        left = [n for n in os.listdir(directory) if n.startswith("cleanroom-")]
    assert left == [], left
    assert done.returncode != 0, text  # of `daemon`
    assert re.search(r"sleep 1000 \(pid (\d+)", text), text
    pid = re.search(r"sleep 1000 \(pid (\d+)", text).group(1)
    assert not os.path.exists(f"/proc/{pid}"), pid
    return text


@test
def meson_takes_it_as_a_wrapper():
    text = run("Meson", "meson", "ninja")
    assert re.search(r"clean +OK", text) and re.search(r"daemon +FAIL +\S+ +.*120", text), text


@test
def ctest_has_it_in_the_commands():
    text = run("CTest", "cmake", "ctest", "make")
    assert re.search(r"clean \.+ +Passed", text) and re.search(r"daemon \.+\*+Failed", text), text


@test
def automake_has_it_as_the_compiler_of_logs():
    text = run("Automake", "autoreconf", "automake", "make")
    assert re.search(r"^PASS: clean$", text, re.M), text
    assert re.search(r"^FAIL: daemon$", text, re.M), text


@test
def prove_executes_tests_by_it():
    text = run("prove", "prove")
    assert re.search(r"clean \.+ ok", text), text
    assert re.search(r"daemon \.+ Dubious, test returned 120", re.sub(r"\s+", " ", text)), text


@test
def without_a_runner_each_line_is_run():
    text = run("None at all")
    assert "2 sessions  " in text and "<testsuite" in text, text


if __name__ == "__main__":
    sys.exit(tool.apart(lambda: main(sys.argv[3:])))
