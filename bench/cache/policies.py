#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replays traces at three sizes each through every policy, by cache-replay, and writes the table of
docs/cache-policies.md (between its markers) and one plot per trace.

    bench/cache/policies.py --build build --traces DIR [--write-docs] [--only NAME]

DIR holds NAME.txt.gz for the names in policies.toml beside this file, which also has the sizes and
the figures of Caffeine that the table is compared with."""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORDER = ["fifo", "lru", "clock", "slru", "arc", "sieve", "s3-fifo", "w-tinylfu", "adaptive"]
BEGIN, END = "<!-- bench cache-policies: begin -->", "<!-- bench cache-policies: end -->"
# Okabe and Ito; ours apart, the bound in the text's colour.
COLORS = {"lru": "#0072B2", "arc": "#009E73", "s3-fifo": "#CC79A7", "w-tinylfu": "#56B4E9",
          "caffeine": "#E69F00"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 48, 150, 34, 36
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 14px; font-weight: 600 }
  .axis { font-size: 11px; fill: #59636e }
  .grid { stroke: #d1d9e0 }
  .paper { fill: #ffffff }
  .opt { stroke: #1f2328; stroke-dasharray: 4 3 }
  .adaptive { stroke: #D55E00; stroke-width: 3 }
  polyline { fill: none; stroke-width: 1.8 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .axis { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .paper { fill: #0d1117 }
    .opt { stroke: #f0f6fc }
    .adaptive { stroke: #ff8c42 }
  }
"""


def replay(tool: Path, trace: Path, size: int) -> dict:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run([tool, "--size", str(size), "--policy", "all", "--json", out.name, trace],
                       check=True, stdout=subprocess.DEVNULL)
        result = json.load(out)
    ratios = {each["policy"]: 100 * each["hit_ratio"] for each in result["results"]}
    ratios["opt"] = 100 * result["opt"]["hit_ratio"]
    return ratios


def measure(args: argparse.Namespace) -> list[dict]:
    described = tomllib.loads((HERE / "policies.toml").read_text())
    rows = []
    for trace in described["trace"]:
        if args.only and trace["name"] not in args.only:
            continue
        path = args.traces / f"{trace['name']}.txt.gz"
        if not path.exists():
            print(f"{path} is not there: left out", file=sys.stderr)
            continue
        for size, caffeine in zip(trace["sizes"], trace["caffeine"]):
            ratios = replay(args.build / "bench/cache-replay", path, size)
            ratios["caffeine"] = caffeine
            rows.append({"trace": trace["name"], "size": size, "real": trace["real"],
                         "held_out": trace.get("held_out", False), "ratios": ratios})
            print(f"{trace['name']} {size}", file=sys.stderr)
    return rows


def gaps(rows: list[dict], who: str) -> str:
    each = [row["ratios"]["opt"] - row["ratios"][who] for row in rows]
    return f"{sum(each) / len(each):.2f} / {max(each):.1f}"


def table(rows: list[dict]) -> str:
    columns = ORDER + ["caffeine", "opt"]
    lines = ["| trace | size | " + " | ".join(columns) + " |",
             "|---|--:|" + "--:|" * len(columns)]
    for row in rows:
        best = max(row["ratios"][who] for who in columns[:-1])
        cells = [f"**{row['ratios'][who]:.2f}**" if row["ratios"][who] > best - 0.005
                 and who != "opt" else f"{row['ratios'][who]:.2f}" for who in columns]
        name = row["trace"] + (" ¹" if row["held_out"] else "")
        lines.append(f"| {name} | {row['size']} | " + " | ".join(cells) + " |")
    groups = [("real traces", [row for row in rows if row["real"]]),
              ("all", rows), ("left out of the tuning ¹", [row for row in rows if row["held_out"]])]
    for title, some in groups:
        if some:
            cells = [gaps(some, who) for who in columns[:-1]] + [""]
            lines.append(f"| gap to OPT, mean / worst: {title} | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(name: str, rows: list[dict]) -> str:
    top = max(row["ratios"]["opt"] for row in rows) * 1.05 or 1
    right = WIDTH - RIGHT
    def x(index: int) -> float:
        return LEFT + (right - LEFT) * (index / max(1, len(rows) - 1) * 0.9 + 0.05)
    def y(ratio: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ratio / top
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
             f"<style>{STYLE}</style>", f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
             f'<text class="title" x="{LEFT}" y="20">{escape(name)}: hit ratio, %</text>']
    step = next(s for s in (1, 2, 5, 10, 20) if top / s <= 6)
    for tick in range(0, int(top) + 1, step):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(tick):.1f}" '
                     f'y2="{y(tick):.1f}"/><text class="axis" x="{LEFT - 8}" '
                     f'y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    for index, row in enumerate(rows):
        parts.append(f'<text class="axis" x="{x(index):.1f}" y="{HEIGHT - 12}" '
                     f'text-anchor="middle">{row["size"]} entries</text>')
    lines = []
    for who in ["opt", *COLORS, "adaptive"]:
        points = " ".join(f"{x(i):.1f},{y(row['ratios'][who]):.1f}" for i, row in enumerate(rows))
        look = f'class="{who}"' if who in ("opt", "adaptive") else f'stroke="{COLORS[who]}"'
        parts.append(f'<polyline {look} points="{points}"><title>{who}</title></polyline>')
        lines.append((y(rows[-1]["ratios"][who]), who, look))
    last = TOP - 14.0
    for at, who, look in sorted(lines):
        last = max(at, last + 14)
        parts.append(f'<line {look} stroke-width="2" x1="{right + 4}" x2="{right + 20}" '
                     f'y1="{last:.1f}" y2="{last:.1f}"/>'
                     f'<text x="{right + 25}" y="{last + 4:.1f}">{who}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def write_docs(rows: list[dict]) -> None:
    docs = HERE.parent.parent / "docs"
    (docs / "plots").mkdir(exist_ok=True)
    names = list(dict.fromkeys(row["trace"] for row in rows))
    images = []
    for name in names:
        file = docs / "plots" / f"cache-{name}.svg"
        file.write_text(plot(name, [row for row in rows if row["trace"] == name]))
        images.append(f"![{name}](plots/{file.name})")
    page = docs / "cache-policies.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n" + "\n".join(images)
                    + f"\n\n{END}{rest.split(END)[1]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="DIR")
    parser.add_argument("--traces", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--write-docs", action="store_true")
    args = parser.parse_args()
    rows = measure(args)
    if not rows:
        return 1
    print(table(rows))
    if args.write_docs:
        write_docs(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
