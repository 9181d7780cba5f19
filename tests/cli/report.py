# SPDX-License-Identifier: MIT
"""Tests of `cleanroom report`: report.py TOOL WRITE [TEST...]; WRITE writes the samples."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tap import main, test

TOOL, WRITE = sys.argv[1:3]
SAMPLES = ["clean", "leftovers", "messy", "many", "hostile", "bytes", "failed", "not-run"]
SEVERAL = ["all", "none"]
PLACE = tempfile.mkdtemp(prefix="cleanroom-test-")
STATE = os.path.join(PLACE, "state")
REPORTS = os.path.join(STATE, "reports")


def sample(name, form="json"):
    with open(os.path.join(PLACE, f"{name}.{form}"), "rb") as file:
        return file.read()


def report(*args, stdin=b"", **how):
    env = {**os.environ, "CLEANROOM_STATE_DIR": STATE, "LC_ALL": "C", "TZ": "UTC"}
    env.pop("CLEANROOM_LIBEXEC", None)
    return subprocess.run([TOOL, "report", *args], input=stdin, capture_output=True, env=env, **how)


def fails(*args, says, **how):
    run = report(*args, **how)
    err = run.stderr.decode()
    assert run.returncode == 125 and run.stdout == b"", (args, run)
    assert re.fullmatch(r"cleanroom: [^\x00-\x1f\x7f-\x9f]+\n", err), err
    assert re.search(says, err), (says, err)


def keep(name, number, seconds):
    """Puts a sample into the state directory, under an id of its own; returns that."""
    data = json.loads(sample(name))
    data["session"] = f"0194bd1e-3a0{number:x}-7000-8000-00000000000{number:x}"
    path = os.path.join(REPORTS, data["session"] + ".json")
    with open(path, "w") as file:
        json.dump(data, file)
    os.utime(path, (seconds, seconds))
    return data["session"]


class State:
    """An empty state directory."""

    def __enter__(self):
        os.makedirs(REPORTS, 0o700)
        os.chmod(STATE, 0o700)

    def __exit__(self, *rest):
        shutil.rmtree(STATE)


@test
def what_is_read_and_written_again_is_the_same():
    for name in SAMPLES + SEVERAL:
        run = report("--format", "json", "-", stdin=sample(name))
        assert run.returncode == 0, (name, run.stderr)
        assert run.stdout == sample(name), name


@test
def every_form_is_what_the_session_would_have_written():
    # Bytes that are no UTF-8 are not in the JSON any more, so not those of "hostile" and "bytes".
    for name in ["clean", "leftovers", "messy", "many", "failed", "not-run", "none"]:
        for form in ("text", "xml", "html"):
            run = report("--format", form, os.path.join(PLACE, f"{name}.json"))
            assert run.stdout == sample(name, form), (name, form)


@test
def a_report_is_found_by_last_by_id_and_by_the_beginning_of_one():
    with State():
        old = keep("messy", 1, 1000)
        new = keep("clean", 2, 3000)
        other = keep("failed", 3, 2000)
        assert report("last").stdout == sample("clean", "text")
        assert report(old).stdout == sample("messy", "text")
        assert report(old.upper()).stdout == sample("messy", "text")
        assert report(other[:13]).stdout == sample("failed", "text")
        fails("0194", says="'0194' is the beginning of 3 ids")
        fails("0195", says="there is no report '0195'; 'cleanroom report' lists")
        fails("", says="that is no report: give 'last'")
        fails("../messy", says="cannot read '../messy': No such file")
        fails("x\033[2J", says="that is no report")
        several = json.loads(report(old, new, "--format", "json").stdout)
        assert [s["session"] for s in several["sessions"]] == [old, new]


@test
def the_list_has_the_newest_first_and_tells_what_cannot_be_read():
    with State():
        assert b"There are no reports yet" in report().stdout
        ids = [keep(name, number, 1000 * number)
               for number, name in enumerate(["clean", "messy", "hostile"], 1)]
        broken = keep("clean", 4, 500)
        with open(os.path.join(REPORTS, broken + ".json"), "w") as file:
            file.write('{"session": ')
        os.utime(os.path.join(REPORTS, broken + ".json"), (500, 500))
        os.symlink("/etc/passwd", os.path.join(REPORTS, ids[0][:-1] + "f.json"))
        open(os.path.join(REPORTS, "notes.txt"), "w").close()
        lines = report().stdout.decode().splitlines()
        assert len(lines) == 5, lines
        assert any("symbolic link" in line for line in lines), lines
        lines = [line for line in lines if "symbolic link" not in line]
        assert [line[:36] for line in lines] == [ids[2], ids[1], ids[0], broken]
        assert lines[1].startswith(f"{ids[1]}  1970-01-01 00:33:20  import-test.sh  exit 3  1.42 s")
        assert lines[1].endswith("  50 left behind  3 not removed"), lines[1]
        assert lines[2].endswith("nothing left behind"), lines[2]
        assert "cannot be read: it is no JSON" in lines[3], lines[3]
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(lines))
        few = report("--lines", "1").stdout.decode().splitlines()
        assert len(few) == 2 and few[1] == "and 4 more; '--lines 0' shows all", few


@test
def a_stored_report_that_is_a_link_is_not_followed():
    with State():
        name = "0194bd1e-3a01-7000-8000-000000000001"
        os.symlink(os.path.join(PLACE, "clean.json"), os.path.join(REPORTS, name + ".json"))
        fails("last", says="symbolic link")


@test
def the_form_follows_from_the_name_of_the_file():
    for name, form in (("x.html", "html"), ("y.xml", "xml"), ("z.txt", "text"), ("a.JSON", "json")):
        path = os.path.join(PLACE, name)
        run = report(os.path.join(PLACE, "messy.json"), "--output", path)
        assert run.returncode == 0 and run.stdout == b"", run
        with open(path, "rb") as file:
            assert file.read() == sample("messy", form)
    fails("last", "--output", "x.pdf", says=r"must end in \.txt, \.json, \.xml \(JUnit\) or \.html")
    fails("-", "--output", "/dev/full", "--format", "xml", stdin=sample("many"),
          says="No space left on device")
    fails("-", "--output", "/no/such/x.xml", stdin=sample("clean"), says="cannot write the report")


@test
def thousands_of_sessions_are_a_page_of_bounded_size():
    clean, messy = json.loads(sample("clean")), json.loads(sample("messy"))
    each = [dict(messy if n % 50 == 49 else clean, job=n + 1) for n in range(3000)]
    data = json.dumps({"format": 1, "sessions": each, "totals": {}}).encode()
    page = report("--format", "html", "-", stdin=data).stdout.decode()
    assert len(page) < 6_000_000, len(page)
    assert page.count("<details>\n<summary>") == 200
    # All 60 of which there is something to tell are there in full; the others are counted.
    assert page.count("50 leftovers: 46 removed") == 60
    assert page.count('<tr><th scope="row"><a href') == 200
    assert "and 1000 more, which succeeded" in page and "2800 more sessions are not" in page
    assert "3000 sessions</h1>" in page
    text = report("--format", "text", "-", stdin=data).stdout.decode()
    assert text.count("\n  import-test.sh ") == 3000 and text.count("\ncleanroom: ") == 60


@test
def leftovers_are_failures_when_they_are_to_be():
    for options, failures in (([], 0), (["--fail-on-leftovers"], 3)):
        run = report("--format", "xml", "-", *options, stdin=sample("leftovers"))
        assert run.stdout.count(b"<failure ") == failures, run.stdout


@test
def wrong_use_is_told():
    fails("--nonsense", says="no such option: '--nonsense'")
    fails("--format", says="option '--format' needs a value")
    fails("--format", "pdf", "last", says="no such format of a report: 'pdf'; it can be text, json")
    fails("--format", "json", says="which report\\?")
    fails("--lines", "-1", says="--lines '-1' is no number")
    run = report("--help")
    assert run.returncode == 0 and run.stdout.startswith(b"usage: cleanroom report"), run


def changed(name, change):
    data = json.loads(sample(name))
    change(data)
    return json.dumps(data).encode()


@test
def bad_input_is_told_with_its_place():
    stuck = [r["status"] for r in json.loads(sample("messy"))["resources"]].index("stuck")
    for change, says in (
            (lambda r: r.pop("tier"), "tier is missing"),
            (lambda r: r.update(tier="3"), "tier is no whole number"),
            (lambda r: r.update(tier=7), "tier is 7, and must be from 0 to 3"),
            (lambda r: r.update(name=None), "name is no text"),
            (lambda r: r.update(session="x"), "session is no id"),
            (lambda r: r.update(started="2026-02-30T00:00:00.000Z"), "started is no date"),
            (lambda r: r.update(started=5), "started is no date"),
            (lambda r: r.update(duration_ms=-1), "duration_ms is no span of time"),
            (lambda r: r.update(duration_ms=1e300), "duration_ms is no span of time"),
            (lambda r: r.update(leftovers=-1), "leftovers is -1"),
            (lambda r: r.update(leftovers=1.5), "leftovers is no whole number"),
            (lambda r: r.update(resources={}), "resources is no list"),
            (lambda r: r["resources"].append(3), r"resources\[18\] is no object"),
            (lambda r: r["resources"][2].pop("id"), r"resources\[2\]\.id is missing"),
            (lambda r: r["resources"][stuck].update(status="lost"), r"\.status cannot be \"lost\""),
            (lambda r: r["resources"][0].update(status="\033[2J\x9b"), r"\.status cannot be \"\?\[2J"),
            (lambda r: r["totals"].update({"\033[2J": 1}), r"totals\.\?\[2J is no object"),
            (lambda r: r["resources"][0].update(owner="root"), r"\.owner cannot be \"root\""),
            (lambda r: r["resources"][0].update(owner="uid:-1"), r"\.owner cannot be"),
            (lambda r: r["resources"][0].update(reason="x" * 300), "longer than 223 bytes"),
            (lambda r: r["exit"].update(code="0"), r"exit\.code is no whole number"),
            (lambda r: r["hooks"][0]["exit"].pop("signal"), r"hooks\[0\]\.exit\.signal is missing"),
            (lambda r: r["artifacts"].update(files=1), r"artifacts\.files is no list"),
            (lambda r: r["totals"].update(file=3), r"totals\.file is no object"),
            (lambda r: r["totals"]["file"].update(removed=0), r"totals\.file\.removed is less than"),
            (lambda r: r["totals"].pop("file"), "totals lacks a kind"),
            (lambda r: r.update(limits=9 * r["limits"]), "limits has more than 5"),
            (lambda r: r.update(warnings=[None]), "warnings has something at 0 that is no text"),
            (lambda r: r.update(format=2), "it has format 2, and this version knows only 1"),
            (lambda r: r.pop("session"), "it is JSON, but no report"),
            (lambda r: r.update(sessions=1), "sessions is no list"),
            (lambda r: r.update(sessions=[1]), r"sessions\[0\] is no object"),
            (lambda r: r.update({"\033[2J\n" * 30: 1, "tier": None}), "tier is no whole number")):
        fails("-", stdin=changed("messy", change), says=says)


@test
def what_is_no_json_is_told():
    with open("/proc/self/exe", "rb") as file:
        program = file.read(100000)
    whole = sample("clean")
    for data, says in (
            (b"", "it is empty"), (b"\0", "it is no JSON"), (b"[]", "no report"), (b"3", "no JSON"),
            (b"{}", "no report"), (program, "no JSON"), (b"\xff" * 100, "no JSON"),
            (b"\033[2J", "no JSON"), (b'{"\033[2J": 1}', "no JSON"), (b'"\n', "no JSON"),
            (b"[" * 1000000, "no JSON"), (b'{"a":' * 1000000, "no JSON"),
            (whole + b"x", "no JSON"), (b"\xef\xbb\xbf" + whole, "no JSON"),
            (whole.replace(b'"name"', b'"name": "", "name"', 1), "duplicate"),
            (whole.replace(b"import", b"im\\u0000port", 1), "no JSON"),
            (whole.replace(b"import", b"im\xc3port", 1), "no JSON")):
        fails("-", stdin=data, says=says)


@test
def a_file_that_is_cut_off_anywhere_is_no_report():
    whole = sample("failed").rstrip()
    for length in range(1, len(whole), 11):
        fails("-", stdin=whole[:length], says="no JSON")


@test
def keys_that_later_versions_add_are_passed_over():
    def add(data):
        data["weather"] = {"in": ["the", "clean", "room"]}
        data["resources"][0]["weight"] = 3.5
    run = report("--format", "json", "-", stdin=changed("messy", add))
    assert run.returncode == 0 and run.stdout == sample("messy"), run.stderr


@test
def a_state_directory_that_cannot_be_is_told():
    open(os.path.join(PLACE, "file"), "w").close()
    env = {**os.environ, "CLEANROOM_STATE_DIR": os.path.join(PLACE, "file")}
    run = subprocess.run([TOOL, "report"], env=env, capture_output=True)
    assert run.returncode == 125 and run.stderr.startswith(b"cleanroom: "), run
    # What lies elsewhere needs none.
    run = subprocess.run([TOOL, "report", os.path.join(PLACE, "clean.json")], env=env,
                         capture_output=True)
    assert run.returncode == 0 and run.stdout == sample("clean", "text"), run


subprocess.run([WRITE, PLACE], check=True)
try:
    status = main(sys.argv[3:])
finally:
    shutil.rmtree(PLACE)
sys.exit(status)
