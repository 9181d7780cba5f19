# SPDX-License-Identifier: MIT
"""Tests of .cleanroom.yaml, from outside: config.py TOOL [TEST...]"""

import json
import os
import subprocess
import sys

import tool
from tap import Skip, main, test
from tool import NOBODY, NOBODY_ELSE, Place, is_root, state_of


def run(place, options=(), user=None, **how):
    return subprocess.run(
        [tool.TOOL, "run", *options], cwd=place.path, capture_output=True, text=True,
        env={**os.environ, "PATH": tool.PATH, "TMPDIR": place.tmp, "LC_ALL": "C",
             **state_of(user)},
        **({} if user is None else NOBODY_ELSE), **how)


def report(place):
    with open(place.file("r.json")) as file:
        return json.load(file)


@test
def a_file_in_the_working_directory_is_taken():
    with Place() as place:
        place.file(".cleanroom.yaml", """
# what every run here is told
name: from-file
timeout: 30s
on-exit: [echo a, "high:echo b"]
watch:
  - watched
report: r.json
limit: {fsize: 1M, pids: 500}
isolate: []
quiet: true
command: [sh, -c, "echo hello; exit 3"]
""")
        os.mkdir(place.file("watched"))
        done = run(place)
        assert done.returncode == 3 and done.stdout == "hello\n" and done.stderr == "", done
        told = report(place)
        assert told["name"] == "from-file"
        assert [h["command"] for h in told["hooks"]] == ["echo b", "echo a"]
        assert {l["limit"] for l in told["limits"]} == {"fsize", "pids"}, told["limits"]


@test
def what_is_given_wins():
    with Place() as place:
        place.file(".cleanroom.yaml", "name: file\non-exit: echo f\nlimit: fsize=1M\n"
                                      "command: exit 4\nreport: r.json\n")
        done = run(place, ["--name", "given", "--on-exit", "echo g", "--limit", "fsize=2M", "--",
                           "true"])
        assert done.returncode == 0, done
        told = report(place)
        assert told["name"] == "given" and told["command"] == ["true"]
        assert [h["command"] for h in told["hooks"]] == ["echo g", "echo f"]
        assert [l["text"].partition(":")[0] for l in told["limits"]] == ["fsize=2M"], told["limits"]
        assert run(place).returncode == 4
        assert "no command to run" in run(place, ["--no-config"]).stderr


@test
def a_command_may_be_a_line():
    with Place() as place:
        place.file("other.yaml", "command: |\n  echo one\n  echo two; exit 5\nquiet: true\n")
        done = run(place, ["--config", "other.yaml"])
        assert done.returncode == 5 and done.stdout == "one\ntwo\n", done


@test
def lines_of_a_file_are_run_as_it_says():
    with Place() as place:
        place.file("lines", "echo one\nexit 2\n")
        place.file(".cleanroom.yaml", "each: lines\njobs: 2\nretries: 1\nreport: r.json\n")
        assert run(place).returncode == 2
        assert [(s["job"], s["attempt"]) for s in report(place)["sessions"]] == [
            (1, 1), (2, 1), (2, 2)]


@test
def an_empty_file_says_nothing():
    for text in ("", "# only this\n", "\n\n"):
        with Place() as place:
            place.file(".cleanroom.yaml", text)
            assert run(place, ["--quiet", "true"]).returncode == 0


@test
def mistakes_are_told_with_their_place():
    cases = [
        ("timout: 3s\n", "1:1: there is no key 'timout'; do you mean 'timeout'?"),
        ("name: x\nwatching: y\n", "2:1: there is no key 'watching'; "),
        ("name: x\nname: y\n", "2:1: duplicate key"),
        ("name: x\n%YAML 1.2\n", "2:1: directives of YAML are not taken"),
        ("name: x\nwatch: \x07\n", "2:8: it is no text in UTF-8"),
        ("- a\n- b\n", "1:1: a configuration is a list of 'key: value'"),
        ("name: {a: b}\n", "1:1: name must be a text"),
        ("watch: [a, [b]]\n", "watch must be a text"),
        ("quiet: maybe\n", "1:8: quiet is true or false"),
        ("name: &x y\nwatch: *x\n", "watch must be a text"),
        ("services: {db: {image: postgres}}\n", "needs libcleanroom-docker"),
        ("timeout: soon\n", "--timeout 'soon' is not a span of time"),
    ]
    for text, words in cases:
        with Place() as place:
            place.file("bad.yaml", text)
            done = run(place, ["--config", "bad.yaml", "true"])
            assert done.returncode == 125 and words in done.stderr, (text, done)
            assert done.stderr.startswith("cleanroom: "), done.stderr
    with Place() as place:
        done = run(place, ["--config", "none.yaml", "true"])
        assert done.returncode == 125 and "cannot read 'none.yaml'" in done.stderr, done


@test
def a_file_that_somebody_else_may_write_is_not_taken_unasked():
    with Place() as place:
        path = place.file(".cleanroom.yaml", "name: theirs\n")
        os.chmod(path, 0o666)
        done = run(place, ["true"])
        assert done.returncode == 125 and "somebody else" in done.stderr, done
        assert run(place, ["--config", path, "true"]).returncode == 0
        assert run(place, ["--no-config", "true"]).returncode == 0
        if not is_root():
            raise Skip("the rest needs root")
        os.chmod(path, 0o644)
        os.chown(path, NOBODY, NOBODY)
        assert run(place, ["true"]).returncode == 125
        assert run(place, ["true"], user=NOBODY).returncode == 0


@test
def the_reader_of_files_is_run_only_when_there_is_one():
    with Place() as place:
        os.mkdir(place.file("libexec"))
        helper = place.file("libexec/cleanroom-config", f"#!/bin/sh\ntouch {place.path}/asked\n")
        os.chmod(helper, 0o755)
        how = {"env": {**os.environ, "TMPDIR": place.tmp, "CLEANROOM_LIBEXEC":
                       place.file("libexec"), **state_of(None)}}
        for present in (False, True):
            if present:
                place.file(".cleanroom.yaml", "")
            subprocess.run([tool.TOOL, "run", "true"], cwd=place.path, check=True, **how)
            assert os.path.exists(place.file("asked")) == present


if __name__ == "__main__":
    sys.exit(tool.apart(lambda: main(sys.argv[2:])))
