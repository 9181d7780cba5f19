# SPDX-License-Identifier: MIT
"""Tests that docs/compatibility.md is true: compatibility.py TOOL [TEST...]

Programs that nobody here wrote are run as their users run them; what the page's table says of each,
its exit status and what it leaves behind, is asserted. What is not installed is skipped.
"""

import collections
import glob
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile

import tool
from tap import Skip, main, test
from tool import Place, Run, is_root


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=tool.PATH):
            raise Skip(f"needs {program}")


class Left:
    """A run that has ended, of which all is gone; what it left behind, by kind."""

    def __init__(self, command, status=0, files=(), options=("--grace", "10s"), **how):
        # Near the root: programs put sockets into TMPDIR, whose paths have 107 bytes at most.
        with Place() as place, tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as near:
            os.chmod(near, 0o755)
            for name, text in dict(files).items():
                place.file(name, text)
            run = Run(place, command, options, cwd=place.path,
                      env={"TMPDIR": near, "HOME": place.path, "GIT_CONFIG_NOSYSTEM": "1"}, **how)
            assert os.listdir(near) == [], os.listdir(near)
        self.told = f"{run.out}\n{run.err}\n{run.json}"
        assert run.status == status, self.told
        run.assert_gone()
        found = [r for r in run.json["resources"]
                 if r["origin"] == "found" and r["status"] != "foreign"]
        self.out = run.out
        self.resources = run.json["resources"]
        self.tier = run.json["tier"]
        self.processes = [r for r in found if r["kind"] == "process"]
        self.kinds = collections.Counter(r["kind"] for r in found if r["kind"] != "file")
        self.files = {k: n for k, n in run.json["files"].items() if n and k != "bytes"}
        if os.environ.get("COMPATIBILITY_TELLS"):
            print("# " + (run.err + run.out).replace("\n", "\n# "), self.files, self.kinds)

    def processes_are(self, *parts):
        """As many as there are parts, each of which is found in the name of one. A process that
        has not executed its program yet has the name of its parent."""
        names = [r["name"] for r in self.processes]
        assert len(names) == len(parts), self.told
        for part in parts:
            assert any(re.search(part, name) for name in names), self.told


def tier():
    return Left(["true"]).tier


def start_postgresql(options=""):
    """A script that makes a cluster in TMPDIR and starts its server, as whom that agrees to."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        raise Skip("needs /usr/lib/postgresql/*/bin/initdb")
    become, give = "", ""
    if is_root():
        need("setpriv")
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            raise Skip("root may not run a server, and there is no user postgres") from None
        become = f"setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --clear-groups"
        give = f"chown {user.pw_uid}:{user.pw_gid} $TMPDIR/pg; chmod 711 $TMPDIR"
    return f"""set -e
PATH={os.path.dirname(found[-1])}:$PATH
mkdir -m 700 $TMPDIR/pg
{give}
cd $TMPDIR/pg
{become} initdb -D data -A trust -U postgres --no-sync >/dev/null
{become} pg_ctl -D data -w -t 60 -l log -o "-k $TMPDIR/pg -c listen_addresses= {options}" \\
    start >/dev/null
"""


@test
def postgresql_shuts_down():
    left = Left(start_postgresql())
    assert len(left.processes) >= 4, left.told
    assert all("postgres" in r["name"] for r in left.processes), left.told
    assert not any("killed" in (r["reason"] or "") for r in left.processes), left.told
    assert left.files["files"] > 500 and "sockets" not in left.files, left.told
    assert set(left.kinds) <= {"process", "shm", "sysv"}, left.told


@test
def postgresql_that_is_killed():
    options = "" if tier() == 3 else "-c dynamic_shared_memory_type=mmap"
    left = Left(start_postgresql(options), options=("--grace", "0"))
    assert len(left.processes) >= 4, left.told


@test
def ipcmk():
    need("ipcmk")
    left = Left("ipcmk -M 4096 -S 2 -Q")
    number = dict(re.findall(r"^(\w+).* id: (\d+)$", left.out, re.M))
    told = {r["kind"]: r["status"] for r in left.resources
            if r["id"].startswith(tuple(f"{n}:" for n in number.values()))}
    if told.get("sysv-shm") == "foreign":
        subprocess.run(["ipcrm", "-m", number["Shared"]], check=True)
    if told.get("sysv-sem") == "foreign":
        subprocess.run(["ipcrm", "-s", number["Semaphore"]], check=True)
    if told.get("sysv-msg") == "foreign":
        subprocess.run(["ipcrm", "-q", number["Message"]], check=True)
    assert set(told) == {"sysv-shm", "sysv-sem", "sysv-msg"}, left.told
    # A segment names the process that made it: whose it was, is known where all are watched.
    assert told["sysv-shm"] == "removed" or left.tier < 3, left.told
    assert set(told.values()) <= {"removed", "foreign"}, left.told


@test
def tmux():
    need("tmux")
    left = Left("tmux -S $TMPDIR/socket -f /dev/null new -d sleep 1000")
    left.processes_are("tmux -S", "sleep 1000|tmux -S")
    assert left.files == {"sockets": 1}, left.told


@test
def ssh_agent():
    need("ssh-agent", "ssh-add")
    left = Left("eval $(ssh-agent); ssh-add -l; echo =$SSH_AUTH_SOCK")
    left.processes_are("ssh-agent")
    socket = left.out.rpartition("=")[2].strip()
    assert socket.startswith("/"), left.told
    assert not os.path.lexists(os.path.dirname(socket)), left.told


@test
def gpg_agent():
    need("gpg-agent", "gpg-connect-agent")
    left = Left("export GNUPGHOME=$TMPDIR/gnupg; mkdir -m 700 $GNUPGHOME; gpg-connect-agent /bye")
    left.processes_are("gpg-agent")
    assert left.files == {"directories": 2}, left.told


DBUS = """dbus-run-session -- sh -c '
dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId \\
    >/dev/null
sleep 1000 & echo $DBUS_SESSION_BUS_ADDRESS'
"""


@test
def dbus_run_session():
    need("dbus-run-session", "dbus-send")
    left = Left(DBUS)
    # It sends the bus SIGTERM, and does not wait: the bus, or its socket, may still be going.
    bus = [r for r in left.processes if "sleep 1000" not in r["name"]]
    assert len(left.processes) - len(bus) == 1 and len(bus) <= 1, left.told
    assert all("dbus" in r["name"] for r in bus), left.told
    assert set(left.kinds) <= {"process", "socket"}, left.told
    assert left.out.startswith("unix:path=") and not left.files, left.told
    socket = left.out.strip()[len("unix:path="):].partition(",")[0]
    assert not os.path.lexists(socket), left.told


GIT = """set -e
git init -q -b main $TMPDIR/origin
cd $TMPDIR/origin
git config user.name t; git config user.email t@localhost
for n in 1 2 3; do echo $n >f$n; git add f$n; git commit -qm $n; git repack -q; done
git clone -q --no-hardlinks $TMPDIR/origin $TMPDIR/copy
cd $TMPDIR/origin
git -c gc.autoPackLimit=1 gc --auto 2>&1
"""


@test
def git():
    need("git")
    left = Left(GIT)
    assert "in background" in left.out, left.told
    assert all("git" in r["name"] for r in left.processes), left.told  # if it is not done yet
    assert left.files["files"] > 50 and set(left.kinds) <= {"process"}, left.told


MAKEFILE = """all: one two three four
	./one && ./two && ./three && ./four
one two three four: program.c
	$(CC) -pipe -O0 -o $(TMPDIR)/$@ $< && cp $(TMPDIR)/$@ $@
"""


@test
def make():
    need("make", "cc")
    left = Left(["make", "-s", "-j4"], files={
        "Makefile": MAKEFILE, "program.c": "int main(void)\n{\n    return 0;\n}\n"})
    assert left.files == {"files": 4} and not left.kinds, left.told


UNITTEST = """import subprocess, tempfile, unittest

class Test(unittest.TestCase):
    def test_leaves(self):
        tempfile.mkstemp()
        tempfile.mkdtemp()
        subprocess.Popen(["sleep", "1000"], start_new_session=True)

    def test_fails(self):
        self.fail()
"""


@test
def python_unittest():
    left = Left([tool.PYTHON, "-B", "-W", "ignore", "-m", "unittest", "-q", "test_it"], status=1,
                files={"test_it.py": UNITTEST})
    left.processes_are("sleep 1000")
    assert left.files == {"files": 1, "directories": 1}, left.told


def need_module(*names):
    found = subprocess.run([tool.PYTHON, "-c", "import " + ", ".join(names)],
                           stderr=subprocess.DEVNULL, check=False)
    if found.returncode != 0:
        raise Skip(f"needs {', '.join(names)} of {tool.PYTHON}")


@test
def tests_of_jsonschema():
    need_module("jsonschema.tests.test_cli", "jsonschema.tests.test_validators", "pip")
    left = Left([tool.PYTHON, "-B", "-W", "ignore", "-m", "unittest", "-q",
                 "jsonschema.tests.test_cli", "jsonschema.tests.test_validators"])
    assert not left.processes and not left.files, left.told


@test
def tests_of_python():
    need_module("test.regrtest", "test.test_tempfile", "test.test_shelve")
    left = Left([tool.PYTHON, "-B", "-m", "test", "-q", "test_tempfile", "test_shelve"])
    assert not left.processes and not left.files, left.told


@test
def python_multiprocessing():
    left = Left([tool.PYTHON, "-c", """
import multiprocessing.shared_memory as m, os
m.SharedMemory(create=True, size=4096)
os.kill(os.getpid(), 9)
"""], status=128 + 9)
    assert set(left.kinds) <= {"process", "shm"}, left.told  # if its tracker is not done yet


PROVE = """use Test::More tests => 1;
use File::Temp;
my ($handle, $name) = File::Temp::tempfile(UNLINK => 0, TMPDIR => 1);
system('setsid sleep 1000 >/dev/null 2>&1 &');
ok(-e $name);
"""


@test
def prove():
    need("prove")
    left = Left(["prove", "-Q", "it.t"], files={"it.t": PROVE})
    left.processes_are("sleep 1000")
    assert "Result: PASS" in left.out and left.files == {"files": 1}, left.told


@test
def chromium():
    need("chromium")
    left = Left("chromium --headless --no-sandbox --disable-gpu "
                "--dump-dom file://$PWD/page.html 2>$PWD/log",
                files={"page.html": "<p id=a></p><script>a.textContent=6*7</script>\n"})
    assert '<p id="a">42</p>' in left.out, left.told
    # Of one that was ending by itself when it was found, only the name is left, in brackets.
    assert all("chromium" in r["name"] or
               (r["name"] == "[chrome_crashpad]" and r["attempts"] == 0)
               for r in left.processes), left.told


@test
def sh():
    left = Left("""cd $TMPDIR
mkfifo control up
cat control >/dev/null &
(trap '' TERM; sleep 1000 & echo up >up; wait) &
read up <up
exit 5""", status=5, options=("--grace", "200ms"))
    left.processes_are("cat|sh -c", "sh -c", "sleep 1000|sh -c")
    assert left.files == {"fifos": 2}, left.told


if __name__ == "__main__":
    sys.exit(tool.apart(lambda: main(sys.argv[2:], tool.end_started)))
