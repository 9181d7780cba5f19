#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cache-replay: its figures beside models that are obviously right, and what it says to bad input.

    replay.py CACHE-REPLAY"""

import gzip
import json
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(sys.argv.pop(1)).resolve()
POLICIES = ["adaptive", "lru", "slru", "clock", "sieve", "s3-fifo", "w-tinylfu", "fifo"]


def lru(keys: list[int], size: int) -> int:
    cached, hits = {}, 0
    for key in keys:
        if key in cached:
            hits += 1
            del cached[key]
        elif len(cached) == size:
            del cached[next(iter(cached))]
        cached[key] = True
    return hits


def opt(keys: list[int], size: int) -> int:
    """Belady, with bypass: what is used last goes, be it the newcomer."""
    never = len(keys)
    following = [never] * len(keys)
    last = {}
    for at in range(len(keys) - 1, -1, -1):
        following[at] = last.get(keys[at], never)
        last[keys[at]] = at
    cached, hits = {}, 0
    for at, key in enumerate(keys):
        hits += key in cached
        cached[key] = following[at]
        if len(cached) > size:
            del cached[max(cached, key=cached.get)]
    return hits


class Replay(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name)
        self.addCleanup(self.directory.cleanup)

    def run_tool(self, *arguments):
        return subprocess.run([TOOL, *map(str, arguments)], text=True, capture_output=True,
                              timeout=60)

    def trace(self, keys, name="trace.txt.gz"):
        file = self.path / name
        text = "".join(f"{key}\n" for key in keys).encode()
        file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return file

    def refuses(self, code, says, *arguments):
        ended = self.run_tool(*arguments)
        self.assertEqual(ended.returncode, code, ended)
        self.assertIn(says, ended.stderr)
        self.assertEqual(ended.stdout, "")

    def test_figures_are_those_of_the_models(self):
        draw = random.Random(4711)
        for size in (1, 3, 10, 50):
            keys = [int(draw.paretovariate(0.6)) % 200 for _ in range(3000)]
            out = self.path / "out.json"
            ended = self.run_tool("--size", size, "--policy", "all", "--json", out,
                                  self.trace(keys))
            self.assertEqual(ended.returncode, 0, ended.stderr)
            told = json.loads(out.read_text())
            hits = {each["policy"]: each["hits"] for each in told["results"]}
            self.assertEqual(told["requests"], 3000)
            self.assertEqual(told["distinct"], len(set(keys)))
            self.assertEqual(told["opt"]["hits"], opt(keys, size))
            self.assertAlmostEqual(told["opt"]["hit_ratio"], opt(keys, size) / 3000, places=5)
            self.assertEqual(hits["lru"], lru(keys, size))
            self.assertEqual(sorted(hits), sorted(POLICIES + ["arc"]))
            self.assertLessEqual(max(hits.values()), told["opt"]["hits"])

    def test_prints_requests_hits_ratio_and_opt(self):
        ended = self.run_tool("--size", 2, self.trace([1, 2, 1, 3, 1, 2]))
        self.assertEqual(ended.returncode, 0)
        lines = ended.stdout.splitlines()
        self.assertEqual(lines[0], "requests  6 (3 distinct)")
        self.assertRegex(lines[2], r"^adaptive +hits \d+  hit ratio \d+\.\d\d %$")
        self.assertEqual(lines[3], "opt        hits 3  hit ratio 50.00 %")

    def test_plain_and_compressed_largest_and_last_line_without_end(self):
        keys = [2 ** 64 - 1, 0, 2 ** 64 - 1]
        for file in (self.trace(keys), self.trace(keys, "plain.txt")):
            self.assertIn("hits 1", self.run_tool("--size", 5, file).stdout)
        file = self.path / "other.txt"
        file.write_bytes(b"7\r\n8\r\n7")
        self.assertIn("hits 1", self.run_tool("--size", 5, file).stdout)

    def test_the_same_figures_in_every_run(self):
        draw = random.Random(1)
        file = self.trace([int(draw.paretovariate(0.5)) % 5000 for _ in range(20000)])
        said = {self.run_tool("--size", 600, file).stdout for _ in range(3)}
        self.assertEqual(len(said), 1)

    def test_bad_arguments(self):
        file = self.trace([1])
        for size in ("0", "-1", "x", "1e3", "", " 1", "99999999999999999999"):
            self.refuses(2, "--size needs a whole number above 0", "--size", size, file)
        self.refuses(2, "--size is missing", file)
        self.refuses(2, "needs one trace", "--size", 1)
        self.refuses(2, "unknown policy", "--size", 1, "--policy", "best", file)
        self.assertEqual(self.run_tool("--help").returncode, 0)

    def test_bad_traces(self):
        self.refuses(1, "No such file", "--size", 1, self.path / "none.gz")
        self.refuses(1, "no request", "--size", 1, self.trace([]))
        for line in ("foo", "-5", "", "1 2", "18446744073709551616", "1" * 200, "0x10"):
            file = self.trace([1, line])
            self.refuses(1, "line 2 is not an unsigned 64-bit number", "--size", 1, file)
        whole = self.trace(random.Random(2).sample(range(10 ** 9), 5000))
        cut = self.path / "cut.txt.gz"
        cut.write_bytes(whole.read_bytes()[:10000])
        self.refuses(1, "could not read it", "--size", 1, cut)
        self.refuses(1, "could not read it", "--size", 1, self.path)

    def test_json_that_cannot_be_written(self):
        ended = self.run_tool("--size", 1, "--json", self.path / "no/file", self.trace([1]))
        self.assertEqual(ended.returncode, 1)
        self.assertIn("No such file", ended.stderr)


if __name__ == "__main__":
    unittest.main()
