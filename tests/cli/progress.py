# SPDX-License-Identifier: MIT
"""Tests of what a terminal shows while a clean-up takes long: progress.py TOOL [TEST...]"""

import os
import pty
import subprocess
import sys

import tool
from tap import main, test
from tool import Place, start, state_of

WIPE = "\r\x1b[K"
# It ignores SIGTERM, so that the clean-up lasts as long as the grace.
STUBBORN = "trap '' TERM; (trap '' TERM; while :; do sleep 1000; done) & exit 0"


def on_terminal(place, options=(), term="xterm"):
    """What a terminal for stderr gets."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [tool.TOOL, "run", "--grace", "1600ms", *options, "--", "sh", "-c", STUBBORN],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave,
        env={**os.environ, "TMPDIR": place.tmp, "TERM": term, **state_of(None)})
    os.close(slave)
    text = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError: # nobody has the other end any more
            break
        if not more:
            break
        text += more
    os.close(master)
    assert process.wait() == 0
    return text.decode()


@test
def a_terminal_shows_what_is_waited_for_and_forgets_it():
    with Place() as place:
        text = on_terminal(place)
        assert f"{WIPE}cleanroom: ending processes (1 s)" in text, text
        shown, _, rest = text.rpartition(WIPE)
        assert "ending processes" in shown and "ending processes" not in rest, text
        assert rest.startswith("cleanroom: sh  exit 0"), rest


@test
def quiet_runs_and_dumb_terminals_show_none():
    with Place() as place:
        assert "\x1b" not in on_terminal(place, ["--quiet"])
        assert "\x1b" not in on_terminal(place, term="dumb")


@test
def what_is_no_terminal_gets_no_line():
    with Place() as place:
        process = start(place, STUBBORN, ["--grace", "1600ms"])
        err = process.communicate()[1]
        assert "\x1b" not in err and "\r" not in err and "ending processes" not in err, err


@test
def short_clean_ups_show_none():
    with Place() as place:
        text = on_terminal(place, ["--grace", "100ms"])
        assert "\x1b" not in text, text


if __name__ == "__main__":
    sys.exit(tool.apart(lambda: main(sys.argv[2:], after=tool.end_started)))
