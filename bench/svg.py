"""A small chart drawer: grouped bars and lines in panels, written as plain SVG."""

import math
from xml.sax.saxutils import escape

COLOURS = ("#1f6f8b", "#c8553d", "#6a994e", "#7d5ba6")
INK = "#333333"
GRID = "#dddddd"


def nice_ticks(top, count=4):
    """Round steps from 0 to at least top."""
    if top <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(top / count))
    for factor in (1, 2, 2.5, 5, 10):
        if step * factor * count >= top:
            step *= factor
            break
    return [step * i for i in range(count + 1)]


def short(value):
    """A number as a tick shows it: 1500000 is 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


class Drawing:
    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = []
        self.text(width / 2, 22, title, size=15, anchor="middle", weight="bold")

    def text(self, x, y, words, size=11, anchor="start", weight="normal", turn=None):
        rotate = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{INK}"{rotate}>{escape(str(words))}</text>'
        )

    def line(self, x1, y1, x2, y2, colour=GRID):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
        )

    def bar(self, x, y, width, height, colour, note):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{colour}"><title>{escape(note)}</title></rect>'
        )

    def path(self, points, colour):
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )

    def legend(self, names, y=40):
        x = 60
        for index, name in enumerate(names):
            self.bar(x, y - 9, 11, 11, COLOURS[index], name)
            self.text(x + 16, y, name)
            x += 34 + 7 * len(name)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" '
                'font-family="Helvetica, Arial, sans-serif">\n'
                f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>\n'
            )
            file.write("\n".join(self.parts))
            file.write("\n</svg>\n")


class Panel:
    """Axes within a drawing; y starts at 0."""

    def __init__(self, drawing, x, y, width, height, title, top, y_label=""):
        self.drawing, self.x, self.y, self.width, self.height = drawing, x, y, width, height
        ticks = nice_ticks(top)
        self.top = ticks[-1]
        drawing.text(x + width / 2, y - 8, title, anchor="middle")
        for tick in ticks:
            at = self.y_of(tick)
            drawing.line(x, at, x + width, at)
            drawing.text(x - 5, at + 4, short(tick), size=10, anchor="end")
        drawing.line(x, y + height, x + width, y + height, INK)
        if y_label:
            drawing.text(x - 44, y + height / 2, y_label, anchor="middle", turn=-90)

    def y_of(self, value):
        return self.y + self.height * (1 - value / self.top)

    def bars(self, groups):
        """groups: [(label, [value or None per series])]."""
        step = self.width / max(len(groups), 1)
        for index, (label, values) in enumerate(groups):
            width = step * 0.76 / len(values)
            left = self.x + step * index + step * 0.12
            for series, value in enumerate(values):
                if value is not None:
                    at = self.y_of(value)
                    bottom = self.y + self.height
                    self.drawing.bar(left + series * width, at, width * 0.94, bottom - at,
                                     COLOURS[series], f"{label}: {value:,.0f}")
            self.drawing.text(self.x + step * (index + 0.5), self.y + self.height + 15, label,
                              size=10, anchor="middle")

    def lines(self, series, low, high, ticks, label, log=False):
        """series: [[(x, y)]] in the order of the legend; ticks are x values."""
        scale = math.log10 if log else float
        span = scale(high) - scale(low) or 1

        def x_of(value):
            return self.x + self.width * (scale(value) - scale(low)) / span

        for tick in ticks:
            self.drawing.line(x_of(tick), self.y, x_of(tick), self.y + self.height)
            self.drawing.text(x_of(tick), self.y + self.height + 15, short(tick), size=10,
                              anchor="middle")
        for index, points in enumerate(series):
            self.drawing.path([(x_of(x), self.y_of(y)) for x, y in points], COLOURS[index])
        self.drawing.text(self.x + self.width / 2, self.y + self.height + 32, label, anchor="middle")
