# SPDX-License-Identifier: MIT
"""`services:` of a configuration, by `cleanroom run`, with a real engine: services.py TOOL [TEST...]

Run by tests/docker/with_engine, which says in the environment where the engine is.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import tool
from tap import Skip, main, test, wait_until
from tool import Place, state_of

POSTGRES = "/usr/lib/postgresql/15"
SESSION = "dev.cleanroom.session"


def need_engine():
    why = os.environ.get("PNX_TEST_NO_ENGINE")
    if why or "PNX_TEST_ENGINE" not in os.environ:
        raise Skip(f"no engine: {why or 'run by with_engine'}")


def environment(place):
    return {**os.environ, "PATH": tool.PATH, "TMPDIR": place.tmp, "LC_ALL": "C", **state_of(None)}


def run(place, *options, **how):
    return subprocess.run([tool.TOOL, "run", *options], cwd=place.path, capture_output=True,
                          text=True, env=environment(place), **how)


def docker(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def what_is_there():
    """Containers, networks and volumes that carry the label of any session."""
    return [line for kind in ("container", "network", "volume")
            for line in docker(*([kind, "ls", "-q"] + ["-a"] * (kind == "container") +
                                 ["--filter", f"label={SESSION}"])).split()]


WEB = """
services:
  web:
    image: pnx-test:1
    command: sh -c 'mkdir /www; cp /shared/greeting /www/index.html; exec httpd -f -p 80 -h /www'
    ports: ["80"]
    volumes: [shared:/shared:ro]
    mem_limit: 64m
    wait: {port: 80, http: /, timeout: 60s}
    depends_on: {prepare: {condition: service_completed_successfully}}
  prepare:
    image: pnx-test:1
    command: [sh, -c, 'echo "$GREETING" >/shared/greeting; echo prepared']
    environment: {GREETING: "hello, you"}
    volumes: [shared:/shared]
"""


@test
def a_script_finds_a_service_that_is_ready_and_nothing_stays():
    need_engine()
    with Place() as place:
        place.file(".cleanroom.yaml", WEB + "artifacts: kept\nreport: r.json\n")
        done = run(place, "--", "sh", "-c", 'wget -qO- "http://$WEB_HOST:$WEB_PORT_80/"')
        assert (done.returncode, done.stdout) == (0, "hello, you\n"), done
        assert what_is_there() == []
        with open(place.file("r.json")) as file:
            report = json.load(file)
        session = report["session"]
        rows = [(row["kind"], row["name"], row["status"], row["verified"])
                for row in report["resources"] if row["kind"] in ("container", "network", "volume")]
        assert sorted(rows) == [
            ("container", "prepare", "removed", True), ("container", "web", "removed", True),
            ("network", "network", "removed", True), ("volume", "shared", "removed", True)], rows
        assert report["leftovers"] == 0, report
        with open(place.file(f"kept/services-{session}/prepare.log")) as file:
            assert file.read() == "prepared\n"


@test
def a_service_that_fails_is_named_with_its_last_words_and_nothing_stays():
    need_engine()
    with Place() as place:
        place.file("s.yaml", WEB.replace("'echo \"$GREETING\"", "'echo no greeting >&2; exit 9; echo"))
        done = run(place, "--services", "s.yaml", "--", "touch", "ran")
        assert done.returncode == 125, done
        assert "the service prepare: it ended with status 9" in done.stderr, done
        assert "no greeting" in done.stderr, done
        assert not os.path.exists(place.file("ran"))
        assert what_is_there() == []


@test
def mistakes_are_told_with_their_place_and_rule():
    need_engine()
    cases = [
        ("imge: x", "s.yaml:3:5: services.db: there is no key 'imge'; do you mean 'image'?"),
        ("image: x\n    ports: [http]", "s.yaml:4:5: services.db.ports: 'http' is no port"),
        ("image: x\n    wait: {http: /}", "services.db.wait: http: on which port?"),
        ("image: x\n    depends_on: [cache]", "depends_on: there is no service 'cache'"),
        ("image: x\n    privileged: true", "the policy refuses the service db: privileged"),
        ("image: x\n    network_mode: host", "the policy refuses the service db: network"),
        ("image: x\n    volumes: [/var/run/docker.sock:/d]", "the policy refuses the service db: "
         "volumes: '/var/run/docker.sock' leads to the socket of the engine"),
    ]
    for text, words in cases:
        with Place() as place:
            place.file("s.yaml", f"services:\n  db:\n    {text}\n")
            done = run(place, "--services", "s.yaml", "--", "true")
            assert done.returncode == 125 and words in done.stderr, (words, done)


@test
def what_is_to_be_kept_on_failure_is_kept_then():
    need_engine()
    with Place() as place:
        place.file("s.yaml", "services: {db: {image: 'pnx-test:1', command: sleep 1000}}\n")
        for script, kept in (("true", 0), ("false", 1)):
            run(place, "--services", "s.yaml", "--keep", "on-failure", "--", script)
            found = docker("ps", "-aq", "--filter", f"label={SESSION}").split()
            assert len(found) == kept, (script, found)
        for directory in os.listdir(place.tmp):
            shutil.rmtree(os.path.join(place.tmp, directory))
        docker("rm", "-fv", *found)
        for network in docker("network", "ls", "-q", "--filter", f"label={SESSION}").split():
            docker("network", "rm", network)
        assert what_is_there() == []


@test
def nothing_stays_of_a_supervisor_that_is_killed():
    need_engine()
    with Place() as place:
        place.file("s.yaml", WEB)
        child = subprocess.Popen(
            [tool.TOOL, "run", "--services", "s.yaml", "--", "sh", "-c", "touch up; sleep 1000"],
            cwd=place.path, env=environment(place), stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(place.file("up")), "the services", 60)
        assert len(what_is_there()) == 4  # two containers, a network, a volume
        child.send_signal(signal.SIGKILL)
        child.wait()
        wait_until(lambda: what_is_there() == [] and os.listdir(place.tmp) == [], "their end", 60)


def ours():
    """The processes of the tool and of its helpers."""
    directory = os.path.dirname(tool.TOOL)
    found = []
    for name in os.listdir("/proc"):
        try:
            path = os.readlink(f"/proc/{name}/exe") if name.isdigit() else ""
        except OSError:
            continue
        if os.path.dirname(path) == directory and os.path.basename(path).startswith("cleanroom"):
            found.append(int(name))
    return found


@test
def nothing_stays_when_all_of_us_are_killed_at_once():
    need_engine()
    with Place() as place:
        place.file("s.yaml", WEB)
        child = subprocess.Popen(
            [tool.TOOL, "run", "--services", "s.yaml", "--", "sh", "-c", "touch up; sleep 1000"],
            cwd=place.path, env=environment(place), stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(place.file("up")), "the services", 60)
        for pid in ours():  # stopped first: none may see another one die
            os.kill(pid, signal.SIGSTOP)
        for pid in ours():
            os.kill(pid, signal.SIGKILL)
        child.wait()
        assert len(what_is_there()) == 4
        done = subprocess.run([tool.TOOL, "reap"], capture_output=True, text=True,
                              env=environment(place), check=False)
        assert what_is_there() == [] and os.listdir(place.tmp) == [], done


@test
def an_interrupt_while_they_start_ends_them():
    need_engine()
    with Place() as place:
        place.file("s.yaml", "services: {db: {image: 'pnx-test:1', command: sleep 1000, "
                             "wait: {log: never}}}\n")
        child = subprocess.Popen([tool.TOOL, "run", "--services", "s.yaml", "--", "touch", "ran"],
                                 cwd=place.path, env=environment(place), stderr=subprocess.PIPE,
                                 text=True)
        wait_until(lambda: docker("ps", "-q", "--filter", f"label={SESSION}") != "", "a container",
                   60)
        child.send_signal(signal.SIGTERM)
        told = child.communicate(timeout=60)[1]
        assert child.returncode == 125 and "interrupted" in told, (child.returncode, told)
        assert not os.path.exists(place.file("ran")) and what_is_there() == []


@test
def the_page_about_services_shows_what_happens():
    need_engine()
    with open(os.path.join(os.path.dirname(__file__), "../../docs/services.md")) as file:
        page = file.read()
    text = re.search(r"<!-- config: .cleanroom.yaml -->\n```yaml\n(.*?)```", page, re.S)[1]
    answer = re.search(r"<!-- answer: cleanroom run -->\n```console\n(.*?)```", page, re.S)[1]
    with Place() as place:
        place.file(".cleanroom.yaml", text)
        done = run(place)
        assert (done.returncode, done.stdout) == (0, answer), done
        assert what_is_there() == []
    # The keys of the page are those that are known, and the list of waits is one.
    waits = re.search(r"```yaml\n(wait:.*?)```", page, re.S)[1].replace("\n", "\n    ")
    for text, mistake in ((f"image: x\n    {waits}", False), ("image: x\n    nothing: x", True)):
        with Place() as place:
            place.file("s.yaml", f"services:\n  db:\n    {text}\n")
            done = subprocess.run([os.path.join(os.path.dirname(tool.TOOL), "cleanroom-services"),
                                   "--file", place.file("s.yaml")], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, check=False)
            assert done.returncode == 3 and ("s.yaml:" in done.stderr) == mistake, done
    known = set(done.stderr.split("known are ")[1].strip().split(", "))
    told = set(re.findall(r"`([a-z_]+)`", " ".join(
        line.split("|")[1] for line in page.split("## The keys")[1].split("## What")[0].split("\n")
        if line.startswith("| `"))))
    assert known - told == {"privileged", "cap_add", "security_opt"}, (known ^ told)
    assert told <= known, told - known


def postgres_image(place):
    """An image with the host's PostgreSQL and its libraries."""
    root = place.file("root")
    programs = [f"{POSTGRES}/bin/{name}" for name in ("postgres", "initdb", "pg_isready")]
    libraries = [f"{POSTGRES}/lib/{name}.so" for name in ("dict_snowball", "plpgsql")]
    needed = set()
    for path in programs + libraries:
        for line in subprocess.run(["ldd", path], capture_output=True, text=True,
                                   check=True).stdout.splitlines():
            needed |= {word for word in line.split() if word.startswith("/")}
    for path in programs + libraries + sorted(needed) + ["/usr/share/zoneinfo/Etc/UTC"]:
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, root + path)
    shutil.copytree("/usr/share/postgresql/15", root + "/usr/share/postgresql/15", symlinks=False,
                    ignore_dangling_symlinks=True, ignore=shutil.ignore_patterns("man", "extension"))
    os.makedirs(root + "/usr/share/postgresql/15/extension", exist_ok=True)
    for path in os.listdir("/usr/share/postgresql/15/extension"):
        if path.startswith("plpgsql"):
            shutil.copy(f"/usr/share/postgresql/15/extension/{path}",
                        root + "/usr/share/postgresql/15/extension")
    for directory in ("bin", "etc", "tmp"):
        os.makedirs(f"{root}/{directory}", exist_ok=True)
    shutil.copy("/bin/busybox", root + "/bin/sh")
    with open(root + "/etc/passwd", "w") as file:
        file.write("root:x:0:0::/:/bin/sh\npostgres:x:70:70::/tmp:/bin/sh\n")
    tar = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(["docker", "import", "-", "pnx-postgres:15"], stdin=tar.stdout,
                   capture_output=True, check=True)
    assert tar.wait() == 0


@test
def a_script_gets_a_database_that_is_ready():
    need_engine()
    for path in (f"{POSTGRES}/bin/postgres", "/usr/bin/psql"):
        if not os.path.exists(path):
            raise Skip(f"needs {path} (Debian: postgresql)")
    with Place() as place:
        postgres_image(place)
        place.file(".cleanroom.yaml", f"""
services:
  db:
    image: pnx-postgres:15
    user: postgres
    command:
      - sh
      - -c
      - |
        {POSTGRES}/bin/initdb --no-sync --no-locale -E UTF8 -A trust -D /data/db >/dev/null &&
        echo 'host all all all trust' >>/data/db/pg_hba.conf &&
        exec {POSTGRES}/bin/postgres -D /data/db -k /data -h '*' -F
    tmpfs: ["/data:size=256m"]
    ports: ["5432"]
    mem_limit: 512m
    read_only: false
    cap_drop: [ALL]
    wait:
      command: [{POSTGRES}/bin/pg_isready, -q, -h, 127.0.0.1]
      timeout: 2m
command: psql -h "$DB_HOST" -p "$DB_PORT" -U postgres -Atc "select 6 * 7"
""")
        done = run(place)
        assert (done.returncode, done.stdout) == (0, "42\n"), done
        assert what_is_there() == []


if __name__ == "__main__":
    tool.TOOL = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as tool.STATE:
        sys.exit(main(sys.argv[2:]))
