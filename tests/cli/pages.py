# SPDX-License-Identifier: MIT
"""The manual pages, the completions and the units of the tool: pages.py TOOL SOURCE UNITS [TEST...]

What is told about options is told by --help, in the manual and to shells: it must be the same.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tap import Skip, main, test

TOOL, SOURCE, UNITS = sys.argv[1:4]
COMMANDS = ["run", "ps", "reap", "report", "doctor", "completion"]


def need(program):
    if not shutil.which(program):
        raise Skip(f"needs {program}")


def ask(*words):
    return subprocess.run([TOOL, *words], capture_output=True, text=True, check=True).stdout


def options_of_help(*command):
    return set(re.findall(r"^  (?:-\w, )?--([a-z-]+)", ask(*command, "--help"), re.M))


def page(name):
    with open(os.path.join(SOURCE, "docs", "man", name)) as file:
        return file.read()


@test
def the_manual_has_every_option_and_no_other():
    for command in COMMANDS:
        told = set(re.findall(r"^\.It (?:Fl \w , )?Fl -([a-z-]+)", page(f"cleanroom-{command}.1"),
                              re.M))
        assert told == options_of_help(command), (command, told ^ options_of_help(command))
    told = set(re.findall(r"^\.It Cm (\w+)", page("cleanroom.1"), re.M))
    helped = set(re.findall(r"^  cleanroom (\w+)", ask("--help"), re.M))
    assert told == helped == set(COMMANDS), told ^ helped


@test
def a_configuration_file_takes_every_option_that_makes_sense_there():
    told = set(re.findall(r"^\.Cm ([a-z-]+) [,.]$", page("cleanroom.yaml.5"), re.M))
    # The key `services` is no path: it holds them.
    options = options_of_help("run") - {"services", "help", "version", "config", "no-config", "report-fd"}
    assert told == options, told ^ options
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "c.yaml")
        for option in sorted(options):
            with open(path, "w") as file:
                file.write(f"{option}: nonsense?\n")
            run = subprocess.run([TOOL, "run", "--config", path, "--tier", "9"],
                                 capture_output=True, text=True)
            assert "there is no key" not in run.stderr, run


@test
def the_manual_keeps_to_its_language():
    need("mandoc")
    for path in glob.glob(os.path.join(SOURCE, "docs", "man", "*.[15]")):
        run = subprocess.run(["mandoc", "-Tlint", "-W", "warning", path], capture_output=True,
                             text=True)
        assert run.returncode == 0, run.stdout


@test
def pages_that_are_named_are_there():
    pages = {os.path.basename(p) for p in glob.glob(os.path.join(SOURCE, "docs", "man", "*.[15]"))}
    for name in pages:
        for other, section in re.findall(r"^\.Xr (\S+) (\d)", page(name), re.M):
            assert f"{other}.{section}" in pages or other == "systemd", (name, other)


@test
def shells_take_the_completions():
    for shell in ("bash", "zsh", "fish"):
        text = ask("completion", shell)
        for option in options_of_help("run"):
            assert option in text, (shell, option)
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=text, text=True, check=True)


def complete(*words):
    """What bash proposes for the last word."""
    script = ask("completion", "bash") + """
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_cleanroom
printf '%s\\n' "${COMPREPLY[@]}"
"""
    run = subprocess.run(["bash", "-s", "--", "cleanroom", *words], input=script,
                         capture_output=True, text=True, cwd=SOURCE)
    return set(run.stdout.split())


@test
def bash_completes():
    need("bash")
    assert complete("re") == {"reap", "report"}
    assert complete("run", "--time") == {"--timeout"}
    assert complete("reap", "--a") == {"--all"}
    assert "README.md" in complete("run", "--report", "READ")
    assert complete("run", "--artifacts", "doc") == {"docs"}
    assert "README.md" in complete("run", "--timeout", "3s", "--", "cat", "READ")
    assert "--timeout" not in complete("run", "cat", "--time")
    assert "true" in complete("run", "--quiet", "tru")
    assert complete("run", "--timeout", "") == set()


@test
def a_shell_that_is_not_known_is_refused():
    run = subprocess.run([TOOL, "completion", "csh"], capture_output=True, text=True)
    assert run.returncode == 125 and "bash, zsh or fish" in run.stderr, run


@test
def systemd_takes_the_units():
    need("systemd-analyze")
    for manager in ("system", "user"):
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(UNITS, f"{manager}-cleanroom-reap.service")) as file:
                text = file.read()
            assert re.search(r"^ExecStart=/\S+/cleanroom reap --all --quiet$", text, re.M), text
            service = os.path.join(directory, "cleanroom-reap.service")
            with open(service, "w") as file: # that of the build tree is there to be executed
                tool = os.path.abspath(TOOL)
                file.write(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={tool}", text))
            timer = shutil.copy(os.path.join(SOURCE, "share", "systemd", manager,
                                             "cleanroom-reap.timer"), directory)
            run = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--{manager}", service,
                                  timer], capture_output=True, text=True,
                                 env={**os.environ, "XDG_RUNTIME_DIR": directory})
            if run.returncode != 0 and "Failed to initialize manager" in run.stderr:
                raise Skip("systemd-analyze cannot run here: " + run.stderr.strip())
            assert run.returncode == 0 and "cleanroom" not in run.stderr, run


if __name__ == "__main__":
    sys.exit(main(sys.argv[4:]))
