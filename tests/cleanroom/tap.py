# SPDX-License-Identifier: MIT
"""A few lines of TAP: tests are functions, run in the order in which they are written down."""

import signal
import sys
import time
import traceback

TESTS = []


class Skip(Exception):
    """Raised by a test that cannot be run here; its text says why."""


def test(function):
    TESTS.append(function)
    return function


def wait_until(condition, what, seconds=20):
    """Waits for what no descriptor tells; the time is only ever used up by a test that fails."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.002)


def take_signals():
    """As a command at a terminal does: below nohup and in the background some are ignored, which
    every command of a test would inherit."""
    for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGQUIT, signal.SIG_DFL),
                            (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def main(only, after=lambda: None):
    """Runs the tests, or those named; `after` each of them, however it ended."""
    take_signals()
    tests = [t for t in TESTS if not only or t.__name__ in only]
    print(f"1..{len(tests)}")
    failed = 0
    for number, function in enumerate(tests, 1):
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception:  # one that fails must not keep the others from running
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            sys.stdout.flush()
        finally:
            after()
    return 1 if failed else 0
