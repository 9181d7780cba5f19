#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Proves that what the documentation shows is true.

docs.py blocks    every ```c and ```cpp block of README.md, docs/*.md and docs/guards/*.md compiles;
                  complete programs run, and print what the block after <!-- prints --> says;
                  ```console blocks after <!-- run --> answer what they show
docs.py examples  every docs/examples/*.c compiles without a warning, runs, and prints what its
                  "Prints:" comment says
docs.py links     every relative link of every README and page leads somewhere, and every test that
                  is named beside a link to its file is there

How to write such blocks is told in docs/README.md. Prints TAP.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

FENCE = re.compile(r"^(\s*)```(\S*)\s*$")
MARKER = re.compile(r"^\s*<!--\s*(prints|run|skip)\b.*-->\s*$")
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
# A fragment shows a thing, not all of its uses.
FRAGMENT_WARNINGS = [option for option in WARNINGS if option != "-Werror"] + [
    "-Wno-unused", "-Wno-unused-result", "-Wno-maybe-uninitialized"]


class Block:
    def __init__(self, path, line, language, text, marker):
        self.path, self.line, self.language = path, line, language
        self.text, self.marker = text, marker
        self.prints = None  # what a program must print

    def name(self, source):
        return f"{self.path.relative_to(source)}:{self.line}"


def blocks_of(path):
    """The fenced blocks of a page, each with the marker in the comment above it."""
    blocks, marker = [], None
    lines = path.read_text().split("\n")
    at = 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        if fence is None or not fence.group(2):
            found = MARKER.match(lines[at])
            if found:
                marker = found.group(1)
            elif lines[at].strip():
                marker = None
            at += 1
            continue
        first = at + 1
        at = first
        while at < len(lines) and lines[at].strip() != "```":
            at += 1
        text = "\n".join(line[len(fence.group(1)):] for line in lines[first:at]) + "\n"
        block = Block(path, first + 1, fence.group(2), text, marker)
        if marker == "prints" and blocks:
            blocks[-1].prints = text
        else:
            blocks.append(block)
        marker = None
        at += 1
    return blocks


def matches(expected, output):
    """Line by line; "…" stands for anything, and alone on a line for any number of lines."""
    pattern = ""
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "…":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part.rstrip() if i == line.count("…") else part)
                                 for i, part in enumerate(line.split("…"))) + r"[ \t]*\n"
    return re.fullmatch(pattern, output if output.endswith("\n") else output + "\n") is not None


class Compiler:
    def __init__(self, options):
        self.source = pathlib.Path(options.source).resolve()
        self.options = options
        self.flags = shlex.split(options.cflags)
        self.prelude = (self.source / "tests/docs/prelude.h").read_text()
        self.cc = os.environ.get("CC", "cc").split()
        self.cxx = os.environ.get("CXX", "c++").split()

    def common(self, text):
        flags = self.flags + [f"-I{self.source}/include", "-g", "-pthread"]
        libraries = [self.options.library]
        if "<cleanroom/" in text:
            if self.options.cleanroom is None:
                raise LookupError("built without libcleanroom")
            libraries = [self.options.cleanroom] + libraries
        if "<cleanroom/docker.h>" in text:
            if self.options.docker is None:
                raise LookupError("built without libcleanroom-docker")
            libraries = [self.options.docker] + libraries + ["-lcurl", "-ljansson", "-larchive"]
        if "patinox/test.h" in text:
            libraries = [self.options.test_library] + libraries
        if "patinox/uv.h" in text:
            if self.options.uv is None:
                raise LookupError("built without libuv")
            libraries = [self.options.uv] + libraries + ["-luv"]
        return flags, libraries

    def command(self, text, program):
        """A program that needs a container engine gets one of its own."""
        if "<cleanroom/docker.h>" not in text:
            return [program]
        script = f'[ -z "$PNX_TEST_NO_ENGINE" ] || exit {NO_ENGINE}; exec "$0"'
        return [self.options.with_engine, "sh", "-c", script, program]

    def fragment(self, text, language):
        compiler = (self.cc + ["-std=gnu17", "-D_GNU_SOURCE", "-xc"] if language == "c" else
                    self.cxx + ["-std=c++20", "-xc++"])
        flags, _ = self.common(text)
        done = subprocess.run(compiler + FRAGMENT_WARNINGS + flags + ["-fsyntax-only", "-"],
                              input=text, capture_output=True, text=True)
        # A fragment declares what it leaves to the reader to define; that has no option of its own.
        complaints = [line for line in done.stderr.split("\n") if " warning: " in line
                      and "used but never defined" not in line]
        return done.stderr if done.returncode != 0 or complaints else None

    def program(self, text, language, directory):
        compiler = (self.cc + ["-std=gnu17", "-D_GNU_SOURCE", "-xc"] if language == "c" else
                    self.cxx + ["-std=c++20", "-xc++"])
        flags, libraries = self.common(text)
        program = os.path.join(directory, "program")
        done = subprocess.run(compiler + WARNINGS + flags + ["-", "-o", program, "-xnone"] +
                              libraries, input=text, capture_output=True, text=True)
        return program, done.stderr if done.returncode != 0 else None


# Not in /tmp, which the runs of other examples watch at the same time.
os.environ["TMPDIR"] = tempfile.tempdir = os.getcwd()

# The exit status of what needs a container engine, where none can run.
NO_ENGINE = 77


def run_program(compiler, text, language, prints):
    """None, or what went wrong."""
    with tempfile.TemporaryDirectory() as directory:
        program, error = compiler.program(text, language, directory)
        if error:
            return error
        try:
            done = subprocess.run(compiler.command(text, program), cwd=directory,
                                  capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return "did not end within a minute"
        output = done.stdout + done.stderr
        if done.returncode == NO_ENGINE:
            raise LookupError("no container engine can run here")
        if done.returncode != 0:
            return f"exit status {done.returncode}\n{output}"
        if prints is not None and not matches(prints, output):
            return f"expected:\n{prints}printed:\n{output}"
    return None


# With `err` as the pointer that a function is given, and as the value that a caller has.
FUNCTIONS = [
    "static pnx_status fragment(pnx_registry *registry, pnx_id id, pnx_error *err)\n"
    "{\n{\n%s\n}\nreturn PNX_OK;\n}\n",
    "static pnx_status fragment(pnx_registry *registry, pnx_id id)\n"
    "{\npnx_error err = {0};\n{\n%s\n}\nreturn PNX_OK;\n}\n",
]


def check_fragment(compiler, block, context):
    """At file scope, or as statements; after what the page has defined so far, or alone."""
    errors = []
    line = f'#line {block.line} "{block.path.name}"\n'
    include = compiler.prelude if block.language == "c" else ""
    head = "\n".join(re.findall(r"^#include.*$", block.text, re.M)) + "\n"
    text = line + block.text.replace("…", "(void)0;")  # what is left out
    for before in ([context, ""] if context else [""]):
        for whole in [text] + [head + function % text for function in FUNCTIONS]:
            error = compiler.fragment(include + before + whole, block.language)
            if error is None:
                return None, text if whole is text else ""
            errors.append(error)
    return "neither at file scope:\n" + errors[0] + "nor as statements:\n" + errors[1], ""


def check_console(block, compiler):
    environment = dict(os.environ, SOURCE=str(compiler.source), LIBRARY=compiler.options.library,
                       CFLAGS=f"-I{compiler.source}/include " + compiler.options.cflags)
    environment.pop("TMPDIR")
    if compiler.options.tool is not None:
        environment["PATH"] = f"{os.path.dirname(compiler.options.tool)}:{environment['PATH']}"
    with tempfile.TemporaryDirectory() as directory:
        for step in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
            command, _, expected = step.partition("\n")
            done = subprocess.run(["bash", "-c", command], cwd=directory, env=environment,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if not matches(expected, done.stdout):
                return f"$ {command}\nexpected:\n{expected}answered:\n{done.stdout}"
    return None


def check_console_beside_neighbours(block, compiler):
    """What others make in /tmp meanwhile, compilers too, is told by runs as foreign."""
    for _ in range(5):
        error = check_console(block, compiler)
        if error is None or "foreign" not in error:
            break
    return error


def check_page(compiler, path):
    """Yields (name, what went wrong or None)."""
    context, results = "", []
    for block in blocks_of(path):
        name = block.name(compiler.source)
        if block.marker == "skip":
            continue
        if block.language == "console" and block.marker == "run":
            results.append((f"{name} answers so",
                            check_console_beside_neighbours(block, compiler)))
        elif block.language in ("c", "cpp") and re.search(r"\bint main\(", block.text):
            try:
                results.append((f"{name} runs", run_program(compiler, block.text, block.language,
                                                            block.prints)))
            except LookupError as why:
                results.append((f"{name} # SKIP {why}", None))
        elif block.language in ("c", "cpp"):
            try:
                error, defines = check_fragment(compiler, block, context)
                context += defines
                results.append((f"{name} compiles", error))
            except LookupError as why:
                results.append((f"{name} # SKIP {why}", None))
    return results


def pages(source):
    yield source / "README.md"
    yield from sorted((source / "docs").glob("*.md"))
    yield from sorted((source / "docs" / "guards").glob("*.md"))


def test_blocks(compiler):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for results in pool.map(lambda path: check_page(compiler, path), pages(compiler.source)):
            yield from results


def test_examples(compiler):
    def check(path):
        text = path.read_text()
        prints = re.search(r"^/\* Prints:\n((?: \*.*\n)*?) \*/$", text, re.M)
        if not prints:
            return str(path.name), "has no comment that says what it prints"
        expected = re.sub(r"^ \*(?:   )?", "", prints.group(1), flags=re.M)
        line = f'#line 1 "{path.name}"\n'
        try:
            return path.name, run_program(compiler, line + text, "c", expected)
        except LookupError as why:
            return f"{path.name} # SKIP {why}", None
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(check, sorted((compiler.source / "docs/examples").glob("*.c")))


def anchors_of(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+\s+(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def documents_in(source):
    """What is below a build directory is not even looked at: other tests make and remove things."""
    for place, directories, files in os.walk(source):
        directories[:] = [name for name in directories if not name.startswith((".", "build"))]
        yield from (pathlib.Path(place, name) for name in files if name.endswith(".md"))


def test_links(compiler):
    source = compiler.source
    for path in sorted(documents_in(source)):
        text = re.sub(r"^( *)```.*?^ *```", "", path.read_text(), flags=re.M | re.S)
        wrong = []
        for label, target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            at = (path.parent / file).resolve() if file else path
            if not at.exists():
                wrong.append(f"{target}: no such file")
            elif anchor and at.suffix == ".md" and anchor not in anchors_of(at):
                wrong.append(f"{target}: no such title")
            test = re.fullmatch(r"`(\w+)`", label)
            if test and at.is_file() and at.suffix in (".c", ".pml", ".sh") and \
                    not re.search(rf"\b{test.group(1)}\b", at.read_text()):
                wrong.append(f"{target}: has no {test.group(1)}")
        yield f"links of {path.relative_to(source)}", "\n".join(wrong) or None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["blocks", "examples", "links"])
    parser.add_argument("--source", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--test-library")
    parser.add_argument("--uv")
    parser.add_argument("--cleanroom")
    parser.add_argument("--docker")
    parser.add_argument("--with-engine")
    parser.add_argument("--tool")
    parser.add_argument("--cflags", default="")
    options = parser.parse_args()
    for name in ("library", "uv", "cleanroom", "docker", "with_engine", "tool"):
        if getattr(options, name):
            setattr(options, name, os.path.abspath(getattr(options, name)))
    compiler = Compiler(options)
    tests = {"blocks": test_blocks, "examples": test_examples, "links": test_links}
    count = failed = 0
    for name, error in tests[options.what](compiler):
        count += 1
        failed += error is not None
        print(f"{'ok' if error is None else 'not ok'} {count} - {name}", flush=True)
        if error is not None:
            print("\n".join("# " + line for line in error.split("\n")), flush=True)
    print(f"1..{count}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
