#!/usr/bin/env python3
"""Makes table.md and the plots from results.jsonl; --publish puts them into bench/README.md."""

import argparse
import json
import math
import os
import pathlib
import re
import shutil

from svg import Drawing, Panel, nice_ticks

SIDES = ("durable_work", "textbook")
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def machine(server):
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
        if found:
            model = found[1]
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"^MemTotal:\s*(\d+)", file.read(), re.MULTILINE)[1]) / 1024**2
    system = os.uname()
    return (
        f"{os.cpu_count()} processors ({model}), {memory:.0f} GB of memory, "
        f"{system.sysname} {system.release}, {server}"
    )


def table(figures, server):
    lines = [f"Machine: {machine(server)}.", "", "| row | figure | value | limit | | beside |",
             "|---|---|---|---|---|---|"]
    for figure in figures:
        cells = (figure["row"], figure["what"], figure["value"], figure["limit"],
                 {"met": "met", "missed": "**missed**"}.get(figure["verdict"], ""),
                 figure["beside"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    missed = sum(figure["verdict"] == "missed" for figure in figures)
    met = sum(figure["verdict"] == "met" for figure in figures)
    lines += ["", f"{met} limits met, {missed} missed."]
    return "\n".join(lines) + "\n"


def throughput(points, path):
    drawing = Drawing(900, 560, "Claim and complete, jobs a second by clients and batch")
    drawing.legend(SIDES)
    for row, mode in enumerate(("off", "on")):
        for column, batch in enumerate((1, 10, 100)):
            here = [p for p in points if p["synchronous_commit"] == mode and p["batch"] == batch]
            if not here:
                continue
            rate = {(p["clients"], p["side"]): p["per_second"] for p in here}
            panel = Panel(drawing, 70 + column * 285, 85 + row * 240, 225, 170,
                          f"batch {batch}, synchronous_commit {mode}", max(rate.values()),
                          "jobs/s" if column == 0 else "")
            panel.bars([(f"{clients} client{'s' if clients > 1 else ''}",
                         [rate.get((clients, side)) for side in SIDES])
                        for clients in sorted({p["clients"] for p in here})])
    drawing.save(path)


def held_snapshot(points, path):
    drawing = Drawing(900, 400, "4,000 jobs a second in and out, a snapshot held from second 0")
    drawing.legend(SIDES)
    series = {side: sorted((p["second"], p) for p in points if p["side"] == side) for side in SIDES}
    last = max(p["second"] for p in points)
    ticks = [tick for tick in nice_ticks(last, 6) if tick <= last]
    fields = (("per_second", "jobs/s"), ("cpu_us", "server CPU, us a job"))
    for column, (field, name) in enumerate(fields):
        panel = Panel(drawing, 75 + column * 435, 85, 365, 240, name,
                      max(p[field] for p in points))
        panel.lines([[(second, p[field]) for second, p in series[side]] for side in SIDES],
                    0, last, ticks, "seconds")
    drawing.save(path)


def wake_up(points, path):
    sides = list(dict.fromkeys(p["side"] for p in points))
    low = 10 ** math.floor(math.log10(min(p["us"] for p in points)))
    high = 10 ** math.ceil(math.log10(max(p["us"] for p in points)))
    ticks = [10**i for i in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    drawing = Drawing(700, 420, "From commit to the payload in a blocked claimer's hand")
    drawing.legend(sides)
    panel = Panel(drawing, 80, 85, 580, 260, "", 1, "part of the jobs there by then")
    panel.lines([[(p["us"], p["fraction"]) for p in points if p["side"] == side] for side in sides],
                low, high, ticks, "microseconds", log=True)
    drawing.save(path)


PLOTS = {"throughput": throughput, "held_snapshot": held_snapshot, "wake_up": wake_up}


def publish(readme, text, plots):
    folder = readme.parent / "plots"
    folder.mkdir(exist_ok=True)
    for plot in plots:
        shutil.copy(plot, folder / plot.name)
    images = "".join(f"\n![{plot.stem.replace('_', ' ')}](plots/{plot.name})\n" for plot in plots)
    section = f"{BEGIN}\n## Results\n\n{text}{images}{END}\n"
    old = readme.read_text(encoding="utf-8")
    if BEGIN in old:
        new = old[: old.index(BEGIN)] + section + old[old.index(END) + len(END) :].lstrip("\n")
    else:
        new = old.rstrip("\n") + "\n\n" + section
    readme.write_text(new, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--server", default="")
    arguments = parser.parse_args()

    with open(arguments.output / "results.jsonl", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    text = table([r for r in records if "row" in r], arguments.server)
    (arguments.output / "table.md").write_text(text, encoding="utf-8")
    plots = []
    for name, draw in PLOTS.items():
        points = [r for r in records if r.get("plot") == name]
        if points:
            plots.append(arguments.output / f"{name}.svg")
            draw(points, plots[-1])
    if arguments.publish:
        publish(pathlib.Path(__file__).parent / "README.md", text, plots)


if __name__ == "__main__":
    main()
