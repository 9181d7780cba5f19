# SPDX-License-Identifier: MIT
"""What other programs make of the reports: report_formats.py WRITE SCHEMA XSD [TEST...]

WRITE writes the samples of report_samples.c in every form; "hostile" has markup, control characters
and broken UTF-8 in each of its texts, "bytes" has every byte."""

import copy
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from tap import Skip, main, test

WRITE, SCHEMA, XSD = sys.argv[1:4]
PLACE = tempfile.mkdtemp(prefix="cleanroom-test-")
STRICT = os.path.join(PLACE, "strict")  # leftovers are failures
SAMPLES = ["clean", "leftovers", "messy", "many", "hostile", "bytes", "failed", "not-run"]
SEVERAL = ["all", "none"]
GONE = ("removed", "already gone", "gone late")

# The hostile text of report_samples.c as it has to be read, whatever the form.
HOSTILE = ("<script>alert(1)</script>]]>&amp;\"'\"><img src=x>\\x1b[31m\\n\\r\\t\\x7f\\xff\\xc3("
           "\\xed\\xa0\\x80\\xef\\xbf\\xbf\\xe2\\x80\\xae\\xc2\\x9b--><!--${x}{{y}}%s%n\\u0000 "
           "\N{EURO SIGN}")


def path_of(name, form, place=PLACE):
    return os.path.join(place, f"{name}.{form}")


def text_of(name, form, place=PLACE):
    with open(path_of(name, form, place), encoding="utf-8", newline="") as file:
        return file.read()


def json_of(name):
    return json.loads(text_of(name, "json"))


def sessions():
    """Every session there is: alone, and again within those of several."""
    for name in SAMPLES:
        yield name, json_of(name)
    for name in SEVERAL:
        for number, session in enumerate(json_of(name)["sessions"]):
            yield f"{name} {number}", session


# ---- JSON ----------------------------------------------------------------------------------------


def validator():
    try:
        import jsonschema
    except ImportError:
        raise Skip("python3-jsonschema is not installed")
    with open(SCHEMA, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@test
def every_json_report_keeps_to_the_schema():
    check = validator()
    for name in SAMPLES + SEVERAL:
        errors = [f"{list(e.absolute_path)}: {e.message[:300]}"
                  for e in check.iter_errors(json_of(name))]
        assert not errors, (name, errors)


@test
def the_schema_refuses_what_is_no_report():
    check = validator()
    good = json_of("messy")
    broken = []

    def breaks(change):
        report = copy.deepcopy(good)
        change(report)
        broken.append(report)

    for key in good:
        breaks(lambda report: report.pop(key))
    for key in good["resources"][0]:
        breaks(lambda report: report["resources"][3].pop(key))
    breaks(lambda report: report.update(extra=1))
    breaks(lambda report: report["resources"][0].update(extra=1))
    breaks(lambda report: report.update(format=2))
    breaks(lambda report: report.update(tier=4))
    breaks(lambda report: report.update(leftovers=-1))
    breaks(lambda report: report.update(tier_reason=""))
    breaks(lambda report: report["resources"][0].update(status="lost"))
    breaks(lambda report: report["resources"][0].update(removed="yesterday"))
    breaks(lambda report: report["totals"].update(file={"lost": 1}))
    stuck = [r["status"] for r in good["resources"]].index("stuck")
    breaks(lambda report: report["resources"][stuck].update(verified=True))
    breaks(lambda report: report["resources"][stuck].update(removed=good["started"]))
    for report in broken:
        assert not check.is_valid(report), report


def verdict_of(resource):
    """As docs/report.md has it."""
    status = resource["status"]
    if status in GONE:
        return "gone"
    if status == "kept":
        return "kept"
    return "foreign" if status == "foreign" and resource["origin"] == "found" else "unremoved"


@test
def totals_and_counters_follow_from_the_resources():
    for name, report in sessions():
        listed = {}
        for resource in report["resources"]:
            by = listed.setdefault(resource["kind"], {})
            by[resource["status"]] = by.get(resource["status"], 0) + 1
        rest = {kind: {status: count - listed.get(kind, {}).get(status, 0)
                       for status, count in by.items()} for kind, by in report["totals"].items()}
        # What is not listed was found, and all of the samples' was verified if it went.
        found = [r for r in report["resources"] if r["origin"] == "found"]
        for kind, by in rest.items():
            for status, count in by.items():
                assert count >= 0, (name, kind, status)
                found += count * [{"origin": "found", "status": status,
                                   "verified": status in GONE}]
        made = [r for r in report["resources"] if r["origin"] == "made"]
        assert set(listed) <= set(report["totals"]), name
        expected = {
            "leftovers": sum(verdict_of(r) != "foreign" for r in found),
            "unremoved": sum(verdict_of(r) == "unremoved" for r in found + made),
            "foreign": sum(verdict_of(r) == "foreign" for r in found),
            "kept": sum(verdict_of(r) == "kept" for r in found + made),
            "unverified": sum(verdict_of(r) == "gone" and not r["verified"] for r in found),
            "unlisted": len(found) + len(made) - len(report["resources"]),
        }
        assert expected == {key: report[key] for key in expected}, (name, expected)


@test
def what_becomes_of_a_thing_is_counted_under_its_own_name():
    report = json_of("messy")
    numbers = {key: report[key] for key in
               ("leftovers", "unremoved", "foreign", "kept", "unverified", "unlisted")}
    assert numbers == {"leftovers": 50, "unremoved": 3, "foreign": 1, "kept": 1, "unverified": 0,
                       "unlisted": 36}
    assert report["totals"]["file"] == {"removed": 37, "foreign": 1, "stuck": 1}
    assert report["totals"]["volume"] == {"kept": 1}
    assert report["totals"]["wormhole"] == {"removed": 1}


@test
def several_sessions_are_summed_up():
    report = json_of("all")
    each = report["sessions"]
    totals = report["totals"]
    for key in ("leftovers", "unremoved", "foreign", "kept", "unverified", "unlisted"):
        assert totals[key] == sum(session[key] for session in each), key
    kinds = {}
    for session in each:
        for kind, by in session["totals"].items():
            for status, count in by.items():
                kinds.setdefault(kind, {}).setdefault(status, 0)
                kinds[kind][status] += count
    assert totals["kinds"] == kinds
    assert totals["sessions"] == len(each) == 11
    # Of three attempts at one line the last counts, the others were tried again.
    assert (totals["succeeded"], totals["failed"], totals["retried"]) == (6, 3, 2), totals
    assert totals["duration_ms"] == 7443.417, totals
    none = json_of("none")
    assert none["sessions"] == [] and none["totals"]["sessions"] == 0


# ---- JUnit XML -----------------------------------------------------------------------------------

XML_FILES = [(name, place) for name in SAMPLES + SEVERAL for place in (PLACE, STRICT)]


@test
def every_xml_report_keeps_to_the_schema():
    if not shutil.which("xmllint"):
        raise Skip("libxml2-utils is not installed")
    files = [path_of(name, "xml", place) for name, place in XML_FILES]
    run = subprocess.run(["xmllint", "--noout", "--nonet", "--schema", XSD, *files],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def suites_of(name, place=PLACE):
    return ElementTree.parse(path_of(name, "xml", place)).getroot().findall("testsuite")


@test
def the_counts_of_a_suite_are_those_of_its_cases():
    for name, place in XML_FILES:
        for suite in suites_of(name, place):
            cases = suite.findall("testcase")
            assert int(suite.get("tests")) == len(cases), name
            assert int(suite.get("failures")) == len(suite.findall("testcase/failure")), name
            assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped")), name
            names = [case.get("name") for case in cases]
            assert len(names) == len(set(names)) and names[0] == "command", names


def failures_of(name, place):
    suite = suites_of(name, place)[0]
    return {case.get("name"): case.find("failure").get("message")
            for case in suite.findall("testcase") if case.find("failure") is not None}


@test
def leftovers_are_failures_when_they_stay_or_when_they_are_to_be():
    assert failures_of("clean", STRICT) == {}
    assert failures_of("leftovers", PLACE) == {}
    assert failures_of("leftovers", STRICT) == {
        "left behind: process": "2 left behind", "left behind: container": "1 left behind",
        "left behind: file": "37 left behind"}
    stay = {"command": "exit 3", "left behind: process": "1 could not be removed",
            "left behind: mount": "1 could not be removed",
            "left behind: file": "1 could not be removed"}
    assert failures_of("messy", PLACE) == stay
    strict = failures_of("messy", STRICT)
    assert {name: strict[name] for name in stay} == stay
    assert strict["left behind: volume"] == "1 left behind"


@test
def an_attempt_that_is_tried_again_is_skipped_not_failed():
    first, second, third = suites_of("all")[-3:]
    assert [s.get("failures") for s in (first, second, third)] == ["0", "0", "0"]
    assert [s.get("skipped") for s in (first, second, third)] == ["1", "1", "0"]
    assert second.get("name") == "flaky (attempt 2)"


@test
def a_reader_of_junit_reads_it():
    try:
        import junitparser
    except ImportError:
        raise Skip("python3-junitparser is not installed")
    for name, place in XML_FILES:
        suites = list(junitparser.JUnitXml.fromfile(path_of(name, "xml", place)))
        assert [suite.tests for suite in suites] == [len(list(suite)) for suite in suites], name


@test
def hostile_names_are_read_back_from_xml_as_they_are_shown():
    suite = suites_of("hostile")[0]
    assert suite.get("name") == HOSTILE
    values = {p.get("name"): p.get("value") for p in suite.iter("property")}
    # The reason of a tier is of fixed size, and cut in the middle of a character.
    assert HOSTILE.startswith(values["tier_reason"][:100])
    assert values["tier"] == HOSTILE and values["cleaned_by"] == HOSTILE
    quoted = HOSTILE.replace("'", "'\\''")
    assert values["command"] == f"'{quoted}' '' '{quoted}'"
    assert f"stuck: {HOSTILE} ({HOSTILE})" in suite.find("testcase/failure").text
    assert suite.find("system-out").text == text_of("hostile", "text")
    elements = {element.tag for element in suite.iter()}
    assert elements == {"testsuite", "properties", "property", "testcase", "failure", "system-out",
                        "system-err"}, elements
    assert suites_of("bytes")[0].find("system-out").text == text_of("bytes", "text")


# ---- text ----------------------------------------------------------------------------------------


@test
def no_text_report_has_a_control_character():
    for name in SAMPLES + SEVERAL:
        text = text_of(name, "text")
        bad = set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]",
                             text))
        assert not bad, (name, bad)


@test
def each_session_of_several_has_its_line():
    lines = text_of("all", "text").splitlines()
    assert lines[0] == "cleanroom: 11 sessions  6 succeeded, 3 failed, 2 tried again  7.44 s"
    assert lines[1].startswith("  import-test.sh ") and lines[1].endswith("nothing left behind")
    assert lines[12] == "" and lines[13].startswith("cleanroom: import-test.sh  exit 0")
    heads = [line for line in lines if line.startswith("cleanroom: ")]
    assert len(heads) == 1 + 5, heads  # itself, and those of which there is more to tell
    assert lines[-1].startswith("  in all: 101367 leftovers: "), lines[-1]
    assert text_of("none", "text") == "cleanroom: 0 sessions  0 succeeded, 0 failed  0.0 ms\n"


# ---- HTML ----------------------------------------------------------------------------------------

VOID = {"meta", "br"}
# SVG has no void elements, but those without content may close themselves.
EMPTY = {"rect", "line", "path"}
KNOWN = VOID | EMPTY | set(
    "html head title style body main header section footer h1 h2 h3 p pre code small span b a dl dt "
    "dd div ul ol li table thead tbody tr th td details summary svg text".split())
ATTRIBUTES = set(
    "lang charset http-equiv content name class scope colspan id href open role aria-label "
    "aria-hidden data-l x y x1 x2 y1 y2 dx rx width height viewbox preserveaspectratio d "
    "overflow".split())


class Page(html.parser.HTMLParser):
    """Reads a page strictly: what is opened is closed, and nothing is in it but what we write."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts, self.style = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        assert tag in KNOWN, tag
        for name, value in attributes:
            assert name in ATTRIBUTES, (tag, name, value)
        names = [name for name, value in attributes]
        assert len(names) == len(set(names)), names
        self.elements.append((tag, dict(attributes), list(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in EMPTY, tag
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        elif data.strip():
            self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data):
        raise AssertionError(f"a declaration: {data}")

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]


def pages():
    for name in SAMPLES + SEVERAL:
        yield name, Page(text_of(name, "html"))


@test
def every_page_is_well_formed_and_has_nothing_but_what_we_write():
    for name, page in pages():
        assert page.all("html") == [{"lang": "en"}], name
        assert len(page.all("title")) >= 1 and len(page.all("h1")) == 1, name


@test
def no_page_reaches_out():
    for name, page in pages():
        policy = [m["content"] for m in page.all("meta") if "http-equiv" in m]
        assert policy and policy[0].startswith("default-src 'none'"), name
        assert all(a["href"].startswith("#s") for a in page.all("a")), name
        assert not re.search(r"url\(|@import|expression|//", page.style), name


@test
def links_within_a_page_lead_somewhere():
    for name, page in pages():
        ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), name
        assert {a["href"][1:] for a in page.all("a")} == set(ids), name


@test
def pictures_and_tables_can_be_read_aloud():
    for name, page in pages():
        text = text_of(name, "html")
        pictures = re.findall(r"<svg role=\"img\"(.{0,8})", text)
        assert all(start.startswith("><title>") for start in pictures), name
        assert all("scope" in cell for cell in page.all("th")), name
        levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1, levels
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:])), levels


@test
def hostile_names_are_text_in_html():
    page = Page(text_of("hostile", "html"))
    texts = "\n".join(page.texts)
    assert HOSTILE in page.texts  # the headline, whole
    assert texts.count("<script>alert(1)</script>") >= 40
    assert "alert(1)" not in page.style
    every = set(Page(text_of("bytes", "html")).texts)
    shown = [chr(b) if 0x20 <= b < 0x7f else {9: "\\t", 10: "\\n", 13: "\\r"}.get(b, f"\\x{b:02x}")
             for b in range(1, 251)]
    assert {f"<{b}>{b}" for b in shown} <= every, {f"<{b}>{b}" for b in shown} - every
    for name in SAMPLES + SEVERAL:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text_of(name, "html")), name


@test
def thousands_of_resources_keep_a_page_small_and_what_is_left_out_is_told():
    text = text_of("many", "html")
    assert len(text) < 400_000, len(text)
    page = Page(text)
    rows = len(page.all("tr"))
    assert rows < 2 * 250 + 40, rows
    # 1251 processes and 99 765 files, 250 rows each, are shown or counted.
    assert "and 1001 more" in text and "and 99515 more" in text
    several = Page(text_of("all", "html"))
    assert len(several.all("tr")) < 4000


@test
def a_page_says_verified_where_it_was_verified():
    for name in ("messy", "leftovers", "hostile"):
        resources = json_of(name)["resources"]
        rows = re.findall(r"<tr><th scope=\"row\"><span.*?</tr>", text_of(name, "html"))
        assert len(rows) == len(resources), name
        told = [("<small>verified" in row, "<small>not verified" in row) for row in rows]
        expected = [(r["verified"], r["status"] in GONE and not r["verified"]) for r in resources]
        assert sorted(told) == sorted(expected), name
        for row in rows:
            status = re.search(r"<span class=\"b \w+\">([a-z ]+)</span>", row).group(1)
            assert ("<small>verified" in row) <= (status in GONE), row


@test
def the_timeline_draws_every_life():
    text = text_of("messy", "html")
    lanes = re.findall(r"<li[^>]*>.*?</li>", text, re.S)
    resources = json_of("messy")["resources"]
    drawn = [r for r in resources if not (r["kind"] == "process" and r["origin"] == "made")]
    # The axis, the command, the clean-up, each resource, and those that are not listed.
    assert len([lane for lane in lanes if "<svg" in lane]) == 3 + len(drawn) + 1
    there = [lane for lane in lanes if 'class="open' in lane]
    assert len(there) == sum(r["removed"] is None for r in drawn)
    for lane in lanes:
        for x, width in re.findall(r'<rect class="bar [^"]*" x="([\d.]+)%" width="([\d.]+)%"', lane):
            assert 0 <= float(x) and float(x) + float(width) <= 100.02, lane


@test
def the_timeline_draws_the_rest_of_many_as_one_area():
    lanes = re.findall(r"<li[^>]*>.*?</li>", text_of("many", "html"), re.S)
    rest = [lane for lane in lanes if "bar area" in lane]
    drawn = [sum(f"<title>{kind} " in lane for lane in lanes) for kind in ("process", "file")]
    assert drawn == [7, 7]
    # Of 1250 processes and 99 765 files; the command has a lane of its own.
    assert len(rest) == 2 and "and 1243 more" in rest[0] and "and 99758 more" in rest[1], rest
    assert "250 are not drawn" in rest[0] and "98765 are not drawn" in rest[1]
    assert "up to 993" in rest[0] and "up to 993" in rest[1], rest


@test
def colours_have_contrast_in_light_and_in_dark():
    def luminance(colour):
        if len(colour) == 4:
            colour = "#" + "".join(2 * c for c in colour[1:])
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def contrast(one, other):
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    style = Page(text_of("clean", "html")).style
    light, dark = (dict(re.findall(r"--([\w-]+):(#[0-9a-f]+)", block))
                   for block in re.findall(r":root\{color-scheme[^}]*\}|:root\{--bg:#1[^}]*\}",
                                           style))
    for colours in (light, dark):
        pairs = [(ink, ground) for ink in ("ink", "mute", "link", "ok", "warn", "bad")
                 for ground in ("card", "bg")]
        pairs += [("mute", "soft"), ("mute", "phase"), ("ink", "warn-bg")]
        pairs += [(ink, ink + "-bg") for ink in ("ok", "warn", "bad", "far", "keep", "own")]
        for ink, ground in pairs:
            ratio = contrast(colours[ink], colours[ground])
            assert ratio >= 4.5, (ink, ground, round(ratio, 2))


os.mkdir(STRICT)
subprocess.run([WRITE, PLACE], check=True)
subprocess.run([WRITE, STRICT, "leftovers"], check=True)
try:
    status = main(sys.argv[4:])
finally:
    shutil.rmtree(PLACE)
sys.exit(status)
