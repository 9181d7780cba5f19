# SPDX-License-Identifier: MIT
"""Tests of `cleanroom doctor`: doctor.py TOOL [TEST...]"""

import json
import os
import subprocess
import sys
import tempfile

import tool
from tap import main, test
from tool import NOBODY_ELSE, each_user


def doctor(*options, user=None, **env):
    return subprocess.run(
        [tool.TOOL, "doctor", *options], capture_output=True, text=True,
        env={**os.environ, "HOME": "/tmp", **env}, **(NOBODY_ELSE if user is not None else {}))


@test
def its_json_is_what_is_documented():
    for user in each_user():
        run = doctor("--json", user=user)
        assert run.returncode == 0 and run.stderr == "", run
        report = json.loads(run.stdout)
        assert list(report) == ["tier", "tier_name", "tier_reason", "required_tier",
                                "required_tier_met", "version", "capabilities"]
        assert report["tier"] in range(4)
        assert (report["tier_reason"] is None) == (report["tier"] == 3)
        for capability in report["capabilities"]:
            assert list(capability) == ["group", "name", "ok", "gives", "detail", "change"]
            assert capability["detail"]
        names = [capability["name"] for capability in report["capabilities"]]
        assert len(set(names)) == len(names)
        assert {"cgroup-v2", "userns", "fanotify", "docker", "state-dir"} < set(names)


@test
def its_table_names_everything_that_its_json_does():
    for user in each_user():
        table, report = doctor(user=user).stdout, json.loads(doctor("--json", user=user).stdout)
        assert table.startswith(f"tier {report['tier_name']}\n")
        for capability in report["capabilities"]:
            mark = "yes" if capability["ok"] else "no "
            assert f"    {mark} {capability['name']} " in table, capability
        assert max(map(len, table.splitlines()[3:])) <= 140


@test
def a_tier_that_is_required_decides_the_exit_status():
    for user in each_user():
        tier = json.loads(doctor("--json", user=user).stdout)["tier"]
        for required in range(4):
            run = doctor("--json", "--require-tier", str(required), user=user)
            report = json.loads(run.stdout)
            assert run.returncode == (0 if tier >= required else 1), (tier, required)
            assert report["required_tier_met"] == (tier >= required)
            assert ("is required" in run.stderr) == (tier < required)
        assert json.loads(doctor("--json", "--tier", "0", user=user).stdout)["tier"] == 0
        assert doctor("--tier", "0", "--require-tier", "1", user=user).returncode == 1


@test
def hostile_names_reach_neither_terminal_nor_json():
    with tempfile.TemporaryDirectory() as directory:
        name = os.fsencode(directory) + b"/a\x1b[31m\xff\"\\b"
        os.mkdir(name)
        run = subprocess.run([tool.TOOL, "doctor"], capture_output=True,
                             env={**os.environb, b"TMPDIR": name})
        assert b"\x1b" not in run.stdout, run.stdout
        run = subprocess.run([tool.TOOL, "doctor", "--json"], capture_output=True,
                             env={**os.environb, b"TMPDIR": name})
        places = json.loads(run.stdout.decode("utf-8"))["capabilities"]
        assert any('a\x1b[31m\ufffd"\\b' in place["detail"] for place in places)


@test
def wrong_use_is_told():
    for options, words in ((["--tier", "4"], "there are the tiers"), (["x"], "takes no arguments"),
                           (["--require-tier"], "needs a value"), (["--nope"], "no such option")):
        run = doctor(*options)
        assert run.returncode == 125 and words in run.stderr, (options, run)
    run = doctor("--help")
    assert run.returncode == 0 and run.stdout.startswith("usage: cleanroom doctor")


@test
def a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        run = subprocess.run([tool.TOOL, "doctor"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 125 and "cannot write" in run.stderr, run


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="cleanroom-test-") as copies:
        os.chmod(copies, 0o755)
        tool.TOOL = os.path.join(copies, "cleanroom")
        subprocess.run(["cp", os.path.abspath(sys.argv[1]), tool.TOOL], check=True)
        sys.exit(main(sys.argv[2:], after=tool.end_started))
