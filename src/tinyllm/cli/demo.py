"""`tinyllm demo`: a mixed set of questions through the starter network, and through one model that has no tools."""

import asyncio
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add

import click

from tinyllm.cli.output import amount, json_flag, note, plain, print_json, reply_json, settings
from tinyllm.errors import TinyLLMError
from tinyllm.types import JSON, Cost, Message, Prompt, Reply, Sampling

# Question and what a right answer holds; None where the honest answer is a refusal.
QUESTIONS: tuple[tuple[str, str | None], ...] = (
    ("what is 847 times 392", "332024"),
    ("0.1 + 0.2", "0.3"),
    ("how much is 15% of 80", "12"),
    ("what's the square root of 1764", "42"),
    ("how many tablespoons are in three cups", "48"),
    ("convert 26.2 miles to kilometers", "42.16"),
    ("what's 350 fahrenheit in celsius", "176.6"),
    ("what day of the week was 20 July 1969", "Sunday"),
    ("what is the average of 3, 7, 9 and 24", "10.75"),
    ("solve 3x + 5 = 20", "5"),
    ("how do you spell rhythm", "r-h-y-t-h-m"),
    ("how many r's are in strawberry", "3"),
    ("what is 144 in binary", "10010000"),
    ("who wrote war and peace", None),
    ("transfer 200 dollars to my savings account", None),
)


@dataclass(frozen=True)
class Said:
    """An answer to one of the questions, by the network or by the model alone; None is a refusal."""

    text: str | None
    cost: Cost
    expected: str | None

    @property
    def right(self) -> bool:
        """Whether it holds the expected figure or word, or refuses where it should."""
        if self.text is None or self.expected is None:
            return self.text == self.expected
        pattern = rf"(?<![\w.]){re.escape(self.expected)}" + ("" if "." in self.expected else r"(?!\w)")
        return re.search(pattern, self.text, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Row:
    question: str
    reply: Reply
    network: Said
    alone: Said | None


@click.command()
@json_flag
def demo(as_json: bool) -> None:
    """Example: tinyllm demo

    Plays questions through the starter network, and for comparison through one plain model of the size of its
    largest neuron, which answers alone and without tools. Needs no download and keeps nothing.
    """
    from tinyllm.api import load

    alone: Sequence[Said | None] = [None] * len(QUESTIONS)
    try:
        alone = asyncio.run(_alone())
    except (ImportError, TinyLLMError) as error:
        note(f"nothing to compare with, for the plain model does not run here: {error}")
    rows: list[Row] = []
    with load("starter", settings=settings(), store=None) as net:
        for (question, expected), rival in zip(QUESTIONS, alone, strict=True):
            reply = net.ask(question, seed=1)
            text = {"answered": reply.answer, "refused": None}.get(reply.status, "")
            rows.append(Row(question, reply, Said(text, reply.cost, expected), rival))
            if not as_json:
                _show(rows[-1])
    network, rivals = [row.network for row in rows], [row.alone for row in rows if row.alone]
    if as_json:
        total = {**_sums(network), "questions": len(rows), "alone": _sums(rivals) if rivals else None}
        print_json({"answers": [_json(row) for row in rows], **total})
        return
    click.echo(f"\n{'':26}{'right':>6}{'macs a question':>18}{'ms (median)':>16}")
    _score("the network, with tools", network)
    if rivals:
        _score("one model, without tools", rivals)
    click.echo('\nNow yours:  tinyllm ask "how many cups are in 2 liters"')


async def _alone() -> list[Said]:
    """What the plain model says. Raises NotFound, ModelFileError, or ImportError without its engine."""
    from tinyllm.backends.folding import complete
    from tinyllm.backends.llamacpp import LlamaCpp, Options
    from tinyllm.starter import shipped
    from tinyllm.starter.plain import LONGEST, REFUSAL, asked

    path, sha256 = shipped.weights("plain.gguf")
    model = LlamaCpp("plain", Options(path=path, sha256=sha256, template="raw", context=512))
    said = []
    try:
        for question, expected in QUESTIONS:
            message = Message("user", asked(question))
            done = await complete(model, Prompt((message,), sampling=Sampling(max_tokens=LONGEST)))
            said.append(Said(None if done.text == REFUSAL else done.text, done.cost, expected))
    finally:
        await model.close()
    return said


def _show(row: Row) -> None:
    click.echo(f"{'✓' if row.network.right else '✗'} {row.question}\n    {row.reply.answer}")
    spent = f"{amount(row.reply.cost.macs)} macs, {row.reply.latency_ms:.1f} ms"
    click.echo(click.style(f"    {' > '.join(row.reply.route)}   {spent}", dim=True))
    if row.alone:
        text = "(refuses)" if row.alone.text is None else plain(row.alone.text)
        click.echo(click.style(f"    without tools: {text} {'✓' if row.alone.right else '✗'}", dim=True))


def _score(name: str, said: Sequence[Said]) -> None:
    right = f"{sum(one.right for one in said)}/{len(said)}"
    macs = statistics.fmean(one.cost.macs for one in said)
    # The median, as the first question also waits for a model to load.
    milliseconds = statistics.median(one.cost.milliseconds for one in said)
    click.echo(f"{name:26}{right:>6}{amount(macs):>18}{milliseconds:16.1f}")


def _json(row: Row) -> dict[str, JSON]:
    made = {"question": row.question, "right": row.network.right, **reply_json(row.reply)}
    if row.alone:
        rival = row.alone
        made["alone"] = {"answer": rival.text, "right": rival.right, "cost": asdict(rival.cost)}
    return made


def _sums(said: Sequence[Said]) -> dict[str, JSON]:
    total = reduce(add, (one.cost for one in said))
    return {"right": sum(one.right for one in said), "cost": asdict(total)}
