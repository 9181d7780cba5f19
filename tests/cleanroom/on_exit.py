# SPDX-License-Identifier: MIT
"""Tests of --on-exit, --artifacts and --save, from outside: on_exit.py TOOL [TEST...]"""

import json
import os
import signal
import sys

import tool
from tap import main, test, wait_until
from tool import Place, Run, each_user, end_started, start


def open_to_all(place, name):
    path = place.file(name)
    os.mkdir(path)
    os.chmod(path, 0o777)
    return path


def read(path):
    with open(path) as file:
        return file.read()


def wait_for_report(path):
    wait_until(lambda: os.path.getsize(path) > 0 and read(path).rstrip().endswith("}"),
               "the report of the reaper")
    return json.loads(read(path))


def report_file(place):
    path = place.file("late.json", "")
    os.chmod(path, 0o666)
    return path


# ---- hooks ---------------------------------------------------------------------------------------


@test
def hooks_run_by_priority_and_the_last_one_first():
    for user in each_user():
        with Place() as place:
            options = ["--on-exit", "low:echo low", "--on-exit", "echo first",
                       "--on-exit", "normal:echo second", "--on-exit", "critical:echo critical",
                       "--on-exit", "high:echo high"]
            run = Run(place, "exit 3", options, user=user)
            assert run.status == 3
            assert [h["output"] for h in run.json["hooks"]] == [
                "critical\n", "high\n", "second\n", "first\n", "low\n"], run.json["hooks"]
            assert [h["priority"] for h in run.json["hooks"]] == [
                "critical", "high", "normal", "normal", "low"]
            run.assert_gone()


@test
def a_hook_knows_how_the_command_ended_and_sees_its_files():
    cases = [("exit 7", "7"), ("exit 0", "0"), ("kill -KILL $$", "137"), ("sleep 100", "124")]
    for user in each_user():
        for command, status in cases:
            with Place() as place:
                hook = "echo $CLEANROOM_STATUS $CLEANROOM_SESSION; cat $TMPDIR/f; pwd"
                options = ["--on-exit", hook, "--grace", "0"]
                if status == "124":
                    options += ["--timeout", "300ms"]
                run = Run(place, f"echo here >$TMPDIR/f; {command}", options, user=user,
                          cwd=place.path)
                assert run.status == int(status)
                assert run.json["hooks"][0]["output"] == (
                    f"{status} {run.json['session']}\nhere\n{place.path}\n"), run.json["hooks"]


@test
def a_hook_runs_before_processes_are_ended():
    with Place() as place:
        run = Run(place, "sleep 1000 & echo $! >$TMPDIR/pid",
                  ["--on-exit", "kill -0 $(cat $TMPDIR/pid)"])
        assert run.json["hooks"][0]["exit"]["code"] == 0, run.json["hooks"]
        assert len(run.found("process")) == 1


@test
def a_hook_that_fails_is_told_and_changes_nothing_else():
    with Place() as place:
        run = Run(place, "true", ["--on-exit", "echo why >&2; exit 9", "--quiet"])
        assert run.status == 0
        assert run.json["hooks"][0]["exit"] == {"code": 9, "signal": None, "timed_out": False}
        assert "undo hooks that failed" in run.err and "why" in run.err
        run.assert_gone()


@test
def only_the_end_of_the_output_is_kept():
    with Place() as place:
        run = Run(place, "true", ["--on-exit", "seq 1 100000"])
        output = run.json["hooks"][0]["output"]
        assert len(output) == 4096 and output.endswith("99999\n100000\n"), len(output)


@test
def what_a_hook_leaves_is_ended_with_it():
    with Place() as place:
        run = Run(place, "true", ["--on-exit", "sleep 1000 & echo $!"])
        pid = int(run.json["hooks"][0]["output"])
        assert not os.path.exists(f"/proc/{pid}"), pid
        run.assert_gone()


@test
def no_hook_runs_where_no_command_was_begun():
    with Place() as place:
        options = ["--on-exit", f"touch {place.path}/ran", "--require-tier", "3", "--tier", "0"]
        process = start(place, "true", options)
        process.communicate()
        assert process.returncode == 125
        assert not os.path.exists(place.file("ran"))


@test
def hooks_run_when_the_supervisor_was_killed():
    for user in each_user():
        with Place() as place:
            out = open_to_all(place, "out")
            report = report_file(place)
            options = ["--on-exit", f"echo $CLEANROOM_STATUS >{out}/hook", "--report", report]
            process = start(place, "echo; exec sleep 1000", options, user=user)
            process.stdout.readline()
            process.kill()
            process.wait()
            json_report = wait_for_report(report)
            assert read(f"{out}/hook") == "unknown\n"
            assert json_report["cleaned_by"] == "reaper"
            assert json_report["hooks"][0]["exit"]["code"] == 0, json_report["hooks"]
            process.communicate()


@test
def a_hook_runs_at_least_once_when_its_cleaner_is_killed():
    with Place() as place:
        out = open_to_all(place, "out")
        report = report_file(place)
        hook = f"echo x >>{out}/hook; test $(wc -l <{out}/hook) -gt 1 || sleep 1000"
        process = start(place, "true", ["--on-exit", hook, "--report", report])
        wait_until(lambda: os.path.exists(f"{out}/hook"), "the hook")
        process.kill()
        process.wait()
        json_report = wait_for_report(report)
        assert read(f"{out}/hook") == "x\nx\n"
        assert json_report["hooks"][0]["exit"]["code"] == 0
        process.communicate()


@test
def hooks_without_a_command_are_refused():
    with Place() as place:
        for hook in ("", "high:"):
            process = start(place, "true", ["--on-exit", hook])
            err = process.communicate()[1]
            assert process.returncode == 125 and "there is no command in it" in err, err


# ---- artifacts -----------------------------------------------------------------------------------


def saved(run):
    base = run.json["artifacts"]["directory"]
    found = {}
    for path, _, names in os.walk(base):
        for name in names:
            whole = os.path.join(path, name)
            found[os.path.relpath(whole, base)] = read(whole)
    return found


@test
def files_are_saved_before_they_are_removed():
    for user in each_user():
        for end, status in (("exit 0", 0), ("exit 5", 5), ("sleep 100", 124)):
            with Place() as place:
                out = open_to_all(place, "out")
                options = ["--artifacts", f"{out}/new/deep", "--name", "a b/c", "--grace", "0"]
                if status == 124:
                    options += ["--timeout", "300ms"]
                script = f"cd $TMPDIR; mkdir -p d/e; echo 1 >one; echo 2 >d/e/two; {end}"
                run = Run(place, script, options, user=user)
                assert run.status == status
                base = run.json["artifacts"]["directory"]
                assert base == f"{out}/new/deep/a_b_c-{run.json['session']}", base
                assert saved(run) == {"one": "1\n", "d/e/two": "2\n"}, saved(run)
                assert run.json["artifacts"]["saved"] == 2
                run.assert_gone()


@test
def only_what_is_asked_for_is_saved():
    with Place() as place:
        options = ["--artifacts", place.file("out"), "--save", "*.log", "--save", "d/*.txt"]
        run = Run(place, "cd $TMPDIR; mkdir -p d/e; touch a.log d/b.log c.txt d/d.txt d/e/f.txt",
                  options)
        assert sorted(saved(run)) == ["a.log", "d/b.log", "d/d.txt"], saved(run)


@test
def no_link_is_followed_and_nothing_special_is_opened():
    with Place() as place:
        secret = place.file("secret", "secret")
        script = (f"cd $TMPDIR; ln -s {secret} link; ln -s {place.path} dir; mkfifo fifo; "
                  "echo x >'new\nline'; mkdir shut; echo y >shut/f; chmod 0 shut/f shut")
        for user in each_user():
            out = place.file("out")
            os.path.isdir(out) or open_to_all(place, "out")
            run = Run(place, script, ["--artifacts", out], user=user)
            files = saved(run)
            assert files.get("new\nline") == "x\n" and "secret" not in str(files), files
            assert files.get("shut/f") is not None or "shut/f" in str(os.listdir(
                run.json["artifacts"]["directory"] + "/shut")), files
            failed = {f["path"]: f["reason"] for f in run.json["artifacts"]["files"] if f["reason"]}
            assert failed == {"link": "symbolic links are not followed",
                              "dir": "symbolic links are not followed"}, failed
            run.assert_gone()


@test
def what_would_be_too_much_is_told():
    with Place() as place:
        run = Run(place, "truncate -s 2G $TMPDIR/huge; echo s >$TMPDIR/small",
                  ["--artifacts", place.file("out")])
        assert saved(run) == {"small": "s\n"}
        assert run.json["artifacts"]["failed"] == 1
        assert "1 GiB" in run.err, run.err


@test
def too_many_files_end_the_saving():
    with Place() as place:
        run = Run(place, "cd $TMPDIR; seq 1 10005 | xargs touch",
                  ["--artifacts", place.file("out")])
        assert run.json["artifacts"]["saved"] == 10000, run.json["artifacts"]["saved"]
        assert run.json["artifacts"]["failed"] == 1
        run.assert_gone()


@test
def artifacts_that_cannot_be_saved_are_told_before_the_command_runs():
    with Place() as place:
        path = place.file("file", "")
        process = start(place, f"touch {place.path}/ran", ["--artifacts", path])
        err = process.communicate()[1]
        assert process.returncode == 125 and "cannot save artifacts in" in err, err
        assert not os.path.exists(place.file("ran"))
        process = start(place, "true", ["--save", "x"])
        assert "--save goes with --artifacts" in process.communicate()[1]


@test
def artifacts_are_saved_when_the_supervisor_was_killed():
    for user in each_user():
        with Place() as place:
            out = open_to_all(place, "out")
            report = report_file(place)
            script = "echo kept >$TMPDIR/a.log; echo no >$TMPDIR/b; echo; exec sleep 1000"
            options = ["--artifacts", out, "--save", "*.log", "--report", report]
            process = start(place, script, options, user=user)
            process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            json_report = wait_for_report(report)
            base = json_report["artifacts"]["directory"]
            assert os.listdir(base) == ["a.log"] and read(f"{base}/a.log") == "kept\n"
            process.communicate()


if __name__ == "__main__":
    sys.exit(tool.apart(lambda: main(sys.argv[2:], after=end_started)))
