"""What a run says at its end."""

from __future__ import annotations

from collections.abc import Iterator

from venom_core.demo.ledger import WEIGHTS, Proof
from venom_core.demo.path_text import printable
from venom_core.demo.run import Line, Run, cores
from venom_core.demo.update_report import update_lines

TOP = 10
NAMES_SHOWN = 10
ROUGH_BELOW_S = 2.0


def report(run: Run, proof: Proof) -> Iterator[Line]:
    """The lines of the report, each with its style."""
    yield from _findings(run)
    yield from _not_scanned(run)
    yield from _places(run)
    yield from update_lines(run) if run.updates else _recovery(run)
    yield from _speed(run)
    yield from _verdict(run, proof)


def _findings(run: Run) -> Iterator[Line]:
    ledger = run.ledger
    counts = ", ".join(f"{ledger.severities[name]:,} {name.lower()}" for name in WEIGHTS)
    yield "", ""
    yield f"Findings: {counts}, in {ledger.lines:,} lines of code", "bold"
    for rule, count in ledger.rules.most_common(TOP):
        yield f"  {count:7,}  {rule}", ""
    worst = ledger.worst(TOP)
    if worst:
        yield "Worst files (high, medium, low)", "bold"
    for file in worst:
        numbers = " ".join(f"{file.severities.get(name, 0):4}" for name in WEIGHTS)
        yield f"  {numbers}  {run.sources.shown(file.file.path)}", ""


def _not_scanned(run: Run) -> Iterator[Line]:
    skipped = run.ledger.skipped
    if not skipped:
        yield "Unparsable files: none", ""
        return
    yield f"Unparsable files: {len(skipped)}", "yellow"
    for file, reason in sorted(skipped, key=lambda pair: str(pair[0].path))[:NAMES_SHOWN]:
        yield f"  {run.sources.shown(file.path)}: {printable(reason)}", ""
    if len(skipped) > NAMES_SHOWN:
        yield f"  and {len(skipped) - NAMES_SHOWN} more", ""


def _places(run: Run) -> Iterator[Line]:
    where = ", ".join(f"{node} {count}" for node, count in sorted(run.ledger.nodes.items()))
    yield f"Where each task ran: {where}", ""


def _recovery(run: Run) -> Iterator[Line]:
    killed, recovered = run.killed, run.ledger.recovered
    if killed is None:
        yield "Recovered: nothing, because there was too little to do to kill a Spore half-way", ""
        return
    if not recovered:
        yield f"Recovered: nothing; {killed.node} was killed between two files", ""
    for again in recovered:
        started, ended = again.started_s - killed.at_s, again.ended_s - killed.at_s
        what = f"{run.sources.shown(again.file.path)} (crashes: {again.crashes}) started again on {again.node}"
        yield f"Recovered: {what} {started:.1f} s after the kill and was done after {ended:.1f} s", "green"


def _speed(run: Run) -> Iterator[Line]:
    count = len(run.files)
    yield f"Speed: {count:,} files in {run.seconds:.1f} s, {count / max(run.seconds, 0.001):.1f} files/s over all", ""
    possible = min(run.slots, cores())
    fast = run.speed_up
    if fast is None:
        yield "Speed-up: not measured, there were too few files", ""
        return
    yield f"Speed-up: {fast.factor:.1f}× of {possible:.1f}× possible on {cores()} {_plural('core', cores())}", "bold"
    how = f"what took one slot alone {fast.work_s:.1f} s, {run.slots} slots did again in {fast.seconds:.1f} s"
    yield f"  {how}, before {'the first update' if run.updates else 'the kill'}", "dim"
    if fast.factor > possible:
        yield "  (above what is possible: something else kept the machine busy while one slot was measured)", "dim"
    if fast.seconds < ROUGH_BELOW_S:
        yield f"  (measured over less than {ROUGH_BELOW_S:.0f} s, so take it as a rough figure)", "dim"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _verdict(run: Run, proof: Proof) -> Iterator[Line]:
    for file, reason in run.ledger.failed:
        yield f"Failed: {run.sources.shown(file.path)}: {printable(reason)}", "red"
    for words, paths in (("missing", proof.missing), ("more than once", proof.repeated), ("foreign", proof.foreign)):
        for path in paths:
            yield f"In the result {words}: {printable(path)}", "red"
    if proof.holds:
        what = f"All {len(run.files):,} files are" if len(run.files) > 1 else "The file is"
        yield f"{what} in the result exactly once.", "bold green"
