# SPDX-License-Identifier: MIT
"""Tests of sub-commands that are programs of their own: helper.py TOOL [TEST...]"""

import os
import shutil
import subprocess
import sys
import tempfile

from tap import main, test

TOOL = sys.argv[1]
SHOW = '#!/bin/sh\necho "{where}:"; printf "<%s>" "$@"; exit 7\n'


class Tree:
    """An installation of the tool of the test's own, with helpers that say where they lie."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="cleanroom-test-")
        self.tool = self.file("bin/cleanroom")
        shutil.copy(TOOL, self.tool)
        return self

    def __exit__(self, *rest):
        shutil.rmtree(self.path)

    def file(self, name, text=None, mode=0o755):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, mode)
        return path

    def helper(self, where, name="frob", mode=0o755):
        return self.file(f"{where}/cleanroom-{name}", SHOW.format(where=where), mode)

    def run(self, *args, tool=None, **env):
        clean = {k: v for k, v in os.environ.items() if k != "CLEANROOM_LIBEXEC"}
        return subprocess.run([tool or self.tool, *args], capture_output=True, text=True,
                              env={**clean, **env})


@test
def a_helper_is_looked_for_in_three_places_in_order():
    with Tree() as tree:
        chosen = os.path.join(tree.path, "chosen")
        assert tree.run("frob").returncode == 125
        for where in ("libexec/cleanroom", "bin", "chosen"):
            tree.helper(where)
            run = tree.run("frob", "a b", "", "--help", CLEANROOM_LIBEXEC=chosen)
            assert run.stdout == f"{where}:\n<a b><><--help>", (where, run)
            assert run.returncode == 7


@test
def the_place_is_that_of_the_program_not_of_a_link_to_it():
    with Tree() as tree:
        tree.helper("libexec/cleanroom")
        link = tree.file("elsewhere/x/cleanroom")
        os.symlink(tree.tool, link)
        assert tree.run("frob", tool=link).returncode == 7


@test
def an_empty_variable_names_no_directory():
    with Tree() as tree:
        tree.helper("libexec/cleanroom")
        assert tree.run("frob", CLEANROOM_LIBEXEC="").returncode == 7


@test
def no_name_leads_out_of_the_directories():
    with Tree() as tree:
        tree.helper("bin/sub")
        tree.helper("bin", name="..")
        tree.file("libexec/evil", SHOW, 0o755)
        for name in ("sub/../frob", "../evil", "..", ".", "/", "x/frob", "frob\n", "FROB", "-x",
                     "frob ", "x" * 64, "x" * 5000, "\xff"):
            run = tree.run(name)
            assert run.returncode == 125 and run.stdout == "", (name, run)
            assert run.stderr.startswith("cleanroom: no such command: "), run


@test
def what_cannot_be_executed_is_told():
    if os.access("/etc/passwd", os.X_OK):
        return
    with Tree() as tree:
        tree.helper("bin", mode=0o644)
        run = tree.run("frob")
        assert run.returncode == 125
        assert run.stderr == "cleanroom: cannot execute cleanroom-frob: Permission denied\n", run


@test
def a_part_that_is_not_installed_is_told_as_such():
    with Tree() as tree:
        run = tree.run("report", "last")
        assert run.returncode == 125
        assert run.stderr.startswith("cleanroom: 'report' is not installed: there is no "
                                     f"cleanroom-report beside {tree.path}/bin/cleanroom"), run


sys.exit(main(sys.argv[2:]))
