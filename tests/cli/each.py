# SPDX-License-Identifier: MIT
"""Tests of `cleanroom run --each`, from outside: each.py TOOL [TEST...]"""

import json
import os
import re
import signal
import subprocess
import sys

import tool
from tap import main, test, wait_until
from tool import NOBODY_ELSE, Place, each_user, state_of


def begin(place, lines, options=(), user=None, stdin=subprocess.DEVNULL, **how):
    file = place.file("lines", lines)
    return subprocess.Popen(
        [tool.TOOL, "run", "--each", file, *options], cwd=place.path, stdin=stdin,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PATH": tool.PATH, "TMPDIR": place.tmp, "LC_ALL": "C",
             **state_of(user)},
        **({} if user is None else NOBODY_ELSE), **how)


class Each:
    def __init__(self, place, lines, options=(), user=None):
        report = place.file("report.json", "")
        os.chmod(report, 0o666)
        process = begin(place, lines, [*options, "--report", report], user)
        self.out, self.err = process.communicate(timeout=100)
        self.status = process.returncode
        with open(report) as file:
            text = file.read()
        self.sessions = json.loads(text)["sessions"] if text else None
        for session in self.sessions or []:
            tool.check(session)

    def heads(self):
        return re.findall(r"^==> line (\d+): (.*) \((exit \d+|signal \d+)", self.out, re.M)


@test
def each_line_is_a_session_of_its_own():
    for user in each_user():
        with Place() as place:
            lines = "# not this\n\n  echo one >$TMPDIR/f; ls $TMPDIR\n\t# nor this\nls $TMPDIR\n"
            each = Each(place, lines, user=user)
            assert each.status == 0, each.err
            assert [(s["job"], s["attempt"]) for s in each.sessions] == [(3, 1), (5, 1)]
            assert each.sessions[0]["leftovers"] == 1 and each.sessions[1]["leftovers"] == 0
            assert [n for n, _, _ in each.heads()] == ["3", "5"]
            assert "\nf\n" in each.out and "\none\n" not in each.out, each.out
            assert "2 sessions  2 succeeded, 0 failed" in each.err, each.err


@test
def stdin_is_a_file_too_and_no_line_reads_it():
    with Place() as place:
        run = subprocess.run([tool.TOOL, "run", "--each", "-", "--quiet"],
                             input="cat; echo a\necho b\n", capture_output=True, text=True,
                             env={**os.environ, "TMPDIR": place.tmp, **state_of(None)})
        assert run.returncode == 0, run
        assert "\na\n" in run.stdout and "\nb\n" in run.stdout and run.stderr == "", run


@test
def the_status_is_that_of_the_first_line_that_failed():
    with Place() as place:
        each = Each(place, "true\nsleep 0.3; exit 4\nexit 5\n", ["-j", "3"])
        assert each.status == 4, each.err
        each = Each(place, "true\nkill -KILL $$\n")
        assert each.status == 137 and each.sessions[1]["exit"]["signal"] == 9
        each = Each(place, "true\ntouch $TMPDIR/x\n", ["--fail-on-leftovers"])
        assert each.status == 120, each.err
        each = Each(place, "sleep 100\n", ["--timeout", "200ms", "--grace", "0"])
        assert each.status == 124 and each.sessions[0]["exit"]["timed_out"]
        each = Each(place, "# nothing\n")
        assert each.status == 0 and each.sessions == []


@test
def a_line_that_fails_is_tried_again():
    with Place() as place:
        counter = place.file("count", "")
        each = Each(place, f"echo x >>{counter}; test $(wc -l <{counter}) = 3\nexit 6\n",
                    ["--retries", "2"])
        assert each.status == 6
        attempts = [(s["job"], s["attempt"], s["exit"]["code"]) for s in each.sessions]
        assert attempts == [(1, 1, 1), (1, 2, 1), (1, 3, 0), (2, 1, 6), (2, 2, 6), (2, 3, 6)]
        each = Each(place, "true\n", ["--retries", "2"])
        assert len(each.sessions) == 1


@test
def so_many_run_at_a_time_and_no_more():
    with Place() as place:
        folder = place.file("running")
        os.mkdir(folder)
        line = f"mkdir {folder}/$$; ls {folder} | wc -l; sleep 0.2; rmdir {folder}/$$\n"
        each = Each(place, line * 6, ["-j", "3"])
        seen = [int(n) for n in re.findall(r"^(\d+)$", each.out, re.M)]
        assert each.status == 0 and len(seen) == 6 and 2 <= max(seen) <= 3, each.out


@test
def output_is_shown_in_one_piece():
    with Place() as place:
        line = "for i in 1 2 3 4 5 6 7 8; do echo {0}; sleep 0.02; echo {0} >&2; done; printf {0}\n"
        each = Each(place, "".join(line.format(f"mark{n}") for n in range(4)), ["-j", "4"])
        pieces = re.split(r"^==> .*\n", each.out, flags=re.M)[1:]
        assert len(pieces) == 4
        for piece in pieces:
            words = piece.split()
            assert len(words) == 17 and len(set(words)) == 1, piece
            assert piece.endswith("\n")


@test
def options_are_those_of_each_session():
    with Place() as place:
        each = Each(place, "echo 1 >$TMPDIR/f\n", ["--name", "many", "--tier", "0", "--on-exit",
                    "echo hook", "--artifacts", place.file("out"), "--grace", "2s"])
        session = each.sessions[0]
        assert session["name"] == "many" and session["tier"] == 0
        assert session["hooks"][0]["output"] == "hook\n" and session["artifacts"]["saved"] == 1


@test
def every_form_of_report_holds_all():
    with Place() as place:
        files = [place.file("r." + form) for form in ("txt", "xml", "html")]
        options = [word for name in files for word in ("--report", name)]
        each = Each(place, "echo hello-there\nexit 2\n", options)
        assert each.status == 2
        for name in files:
            with open(name) as file:
                text = file.read()
            assert "hello-there" in text and "exit 2" in text, name


@test
def a_signal_ends_all_of_them_cleanly():
    for user in each_user():
        for number in (signal.SIGTERM, signal.SIGINT):
            with Place() as place:
                ready = place.file("ready")
                os.mkdir(ready)
                os.chmod(ready, 0o777)
                line = f"sleep 1000 & touch $TMPDIR/f {ready}/$$; wait\n"
                report = place.file("report.json", "")
                os.chmod(report, 0o666)
                process = begin(place, line * 5, ["-j", "2", "--report", report], user)
                wait_until(lambda: len(os.listdir(ready)) == 2, "two lines that run")
                process.send_signal(number)
                out, err = process.communicate(timeout=50)
                assert process.returncode == 128 + number, (process.returncode, err)
                with open(report) as file:
                    sessions = json.load(file)["sessions"]
                told = (os.listdir(ready), out, err, sessions)
                assert len(sessions) == 2 and len(os.listdir(ready)) == 2, told
                for session in sessions:
                    assert session["exit"]["signal"] == number and session["unremoved"] == 0
                    assert session["leftovers"] == 2, session


@test
def a_session_that_was_killed_is_told_all_the_same():
    with Place() as place:
        each = Each(place, "touch $TMPDIR/left; kill -KILL $PPID; sleep 0.1\necho next\n")
        assert each.status == 137, each.err
        assert len(each.sessions) == 2 and each.sessions[0]["job"] == 1
        killed = each.sessions[0]
        assert killed["supervisor_died"] and killed["cleaned_by"] in ("reaper", "adopter"), killed
        assert [r for r in killed["resources"] if r["kind"] == "tempdir"][0]["verified"], killed
        assert [r["name"] for r in killed["resources"] if r["kind"] == "file"] == ["left"], killed
        assert killed["command"][2].startswith("touch"), killed
        assert os.listdir(place.tmp) == []  # it was not only told, but waited for


@test
def nothing_of_its_own_is_left_when_it_is_killed():
    with Place() as place:
        lines = f"touch {place.path}/begun; sleep 0.5; exit 3\ntouch {place.path}/no\n"
        process = begin(place, lines)
        wait_until(lambda: os.path.exists(place.file("begun")), "the first line")
        process.kill()
        process.communicate()
        wait_until(lambda: os.listdir(place.tmp) == [], "the end of the line")
        assert not os.path.exists(place.file("no"))


@test
def wrong_usage_is_explained():
    with Place() as place:
        lines = place.file("lines", "true\n")
        cases = [
            (["--each", lines, "true"], "no command besides"),
            (["--each", "/no/such/file"], "cannot read '/no/such/file'"),
            (["--each", lines, "-j", "0"], "it is a number from 1 to"),
            (["--each", lines, "--retries", "-1"], "it is a number from 0 to"),
            (["-j", "2", "true"], "--jobs and --retries go with --each"),
            (["--each", lines, "--report", "/no/such/r.json"], "/no/such/r.json"),
        ]
        for options, words in cases:
            run = subprocess.run([tool.TOOL, "run", *options], capture_output=True, text=True)
            assert run.returncode == 125 and words in run.stderr, (options, run)


if __name__ == "__main__":
    sys.exit(tool.apart(lambda: main(sys.argv[2:])))
