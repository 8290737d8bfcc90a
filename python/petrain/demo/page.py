"""The report as one page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib.resources import files

import numpy as np
from matplotlib.image import imsave

import petrain
from petrain.demo import charts, model_charts, summary, svg
from petrain.demo.data import Digits, Floats
from petrain.demo.results import Results, versions
from petrain.demo.settings import BATCH, FINE_TUNING, HIDDEN, MICRO_BATCH

_MOST_EXAMPLES = 18


def html(results: Results, digits: Digits) -> str:
    """The page; well-formed XML, so that any parser reads it."""
    with svg.style():
        body = "\n".join(
            [
                _header(results),
                _section("Before and after", _summary_table(results), _note(results)),
                '<div class="pair">',
                _figure("Learning", charts.loss_curve(results), _learning(results)),
                _figure("Size against accuracy", charts.size_against_accuracy(results), _sizes(results)),
                "</div>",
                _section("Layers", _layers(results)),
                "<h2>Which digits are taken for which</h2>",
                '<div class="pair">',
                _figure(
                    "Original", model_charts.confusion(results, "original"), _wrong(results.original.quality.confusion)
                ),
                _figure(
                    "Compressed",
                    model_charts.confusion(results, "compressed"),
                    _wrong(results.compressed.quality.confusion),
                ),
                "</div>",
                _examples(results, digits),
                _section("How it was made", _making(results)),
            ]
        )
    css = files("petrain.demo").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="light dark" />
<title>petrain demo: {summary.kilobytes(results.compressed.file_bytes)}</title>
<style>
{css}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _header(results: Results) -> str:
    rows = {row.name: row for row in summary.rows(results)}
    tiles = [("Accuracy", rows["Accuracy"]), ("File size", rows["File size"])]
    tiles += [(name, row) for name, row in rows.items() if name.startswith("Time")]
    cells = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd><b>{escape(row.after)}</b> '
        f"<span>was {escape(row.before)}</span> {_change(row)}</dd></div>"
        for name, row in tiles
    )
    return (
        f'<header><p class="kicker">petrain demo</p><h1>{escape(summary.headline(results))}</h1>'
        f'<dl class="tiles">{cells}</dl></header>'
    )


def _summary_table(results: Results) -> str:
    rows = [(escape(r.name), escape(r.before), escape(r.after), _change(r)) for r in summary.rows(results)]
    return _table(("", "original", "compressed", "change"), rows, "metrics")


def _change(row: summary.Row) -> str:
    kind = {True: "better", False: "worse", None: "same"}[row.better]
    return f'<span class="{kind}">{escape(row.change)}</span>'


def _note(results: Results) -> str:
    batch, threads = max(results.original.latency), results.settings.threads
    return _paragraph(
        f"Quality is measured on {results.images[1]} images that took no part in training. Times are medians, both "
        f"models in turns, called from Python with {_plural(threads, 'thread')}. Memory is that of a fresh process "
        f"that loads the file and recognises {batch} images; most of its peak is Python and NumPy. Both files were "
        "loaded again, and answer as the models did, bit for bit."
    )


def _learning(results: Results) -> str:
    before, cut = results.training[-1].test_accuracy, results.truncated_accuracy
    change = 100 * (results.fine_tuning[-1].test_accuracy - cut)
    return (
        f"{_plural(len(results.training), 'epoch')} of AdamW in float32, then {len(results.fine_tuning)} on the "
        f"low-rank factors (shaded). Cutting the weights to their ranks takes the accuracy from {before:.1%} to "
        f"{cut:.1%}; fine-tuning {'brings back' if change >= 0 else 'costs'} {abs(change):.1f} points."
    )


def _sizes(results: Results) -> str:
    return (
        f"{len(results.sweep)} budgets, each compressed and fine-tuned from the same original. The dashed line is the "
        f"budget of this run, {results.budget:,} bytes; the original takes {results.original.file_bytes:,}."
    )


def _layers(results: Results) -> str:
    rows = []
    for layer in results.layers:
        rank = "whole" if layer.rank is None else str(layer.rank)
        sizes = (summary.kilobytes(layer.bytes_before), summary.kilobytes(layer.bytes_after))
        rows.append((escape(layer.name), rank, f"{layer.rel_error:.3f}", *sizes))
    text = (
        "A weight W becomes A·B, with a rank that weighs the error of every layer against its bytes; one that is "
        "smaller whole than in factors stays whole. The error is ‖W − A·B‖ / ‖W‖ before fine-tuning, which then moves "
        "the factors to where they serve best."
    )
    table = _table(("weight", "rank", "error", "float32", "int8"), rows)
    return f'<div class="halves">{model_charts.layers(results)}{table}</div>{_paragraph(text)}'


def _wrong(confusion: Sequence[Sequence[int]]) -> str:
    total = sum(map(sum, confusion))
    wrong = total - sum(row[i] for i, row in enumerate(confusion))
    return f"{wrong} of {total} wrong."


def _examples(results: Results, digits: Digits) -> str:
    before, after = results.original.quality.predictions, results.compressed.quality.predictions
    lost = np.flatnonzero((before == digits.test_y) & (after != digits.test_y))
    won = int(((before != digits.test_y) & (after == digits.test_y)).sum())
    cards = "".join(
        f'<figure class="digit"><img alt="a handwritten {digits.test_y[i]}" src="{_picture(digits.test_x[i])}" />'
        f"<figcaption>a {digits.test_y[i]}, taken for <b>{after[i]}</b></figcaption></figure>"
        for i in lost[:_MOST_EXAMPLES]
    )
    text = f"{_plural(len(lost), 'image')} that the original recognises and the compressed model does not"
    text += f" (the first {_MOST_EXAMPLES} are shown)" if len(lost) > _MOST_EXAMPLES else ""
    text += f"; with {won} it is the other way round."
    return _section("What was lost", _paragraph(text), f'<div class="digits">{cards}</div>' if len(lost) else "")


def _picture(pixels: Floats) -> str:
    buffer = io.BytesIO()
    imsave(buffer, pixels.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _making(results: Results) -> str:
    facts = {
        "Command": results.settings.command,
        "Seed": str(results.settings.seed),
        "Data": f"load_digits of scikit-learn, {results.images[0]:,} images to train and {results.images[1]} to test",
        "Model": f"Linear 64 → {HIDDEN[0]} → {HIDDEN[1]} → 10, ReLU between",
        "Training": f"AdamW, batches of {BATCH} from micro-batches of up to {MICRO_BATCH}, gradients clipped",
        "Fine-tuning": f"{FINE_TUNING.epochs} epochs of AdamW on the float32 factors, then int8 row by row",
        "Instruction set": str(petrain.cpu_info()["isa"]),
        "Threads": str(results.settings.threads),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    same = "The same seed gives the same bytes in both model files, for any number of threads."
    return f'<dl class="facts">{rows}</dl>{_paragraph(same + " metrics.json beside this page holds every figure.")}'


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _figure(title: str, chart: str, caption: str) -> str:
    return f"<figure><h3>{escape(title)}</h3>{chart}<figcaption>{escape(caption)}</figcaption></figure>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "plain") -> str:
    """``rows`` are markup."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
