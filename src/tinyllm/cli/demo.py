"""`tinyllm demo`: a mixed set of questions through the starter network, with the route and cost of each."""

import re
from dataclasses import asdict

import click

from tinyllm.cli.output import amount, json_flag, print_json, reply_json, settings
from tinyllm.types import Cost, Reply

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


@click.command()
@json_flag
def demo(as_json: bool) -> None:
    """Example: tinyllm demo

    Plays questions through the starter network, on this machine and with no download, and keeps nothing.
    """
    from tinyllm.api import load

    rows: list[tuple[str, Reply, bool]] = []
    total = Cost()
    with load("starter", settings=settings(), store=None) as net:
        for question, expected in QUESTIONS:
            reply = net.ask(question, seed=1)
            right = is_right(reply, expected)
            rows.append((question, reply, right))
            total += reply.cost
            if not as_json:
                click.echo(f"{'✓' if right else '✗'} {question}\n    {reply.answer}")
                click.echo(
                    click.style(
                        f"    {' > '.join(reply.route)}   {amount(reply.cost.macs)} macs, {reply.latency_ms:.1f} ms",
                        dim=True,
                    )
                )
    score = sum(right for *_, right in rows)
    if as_json:
        answers = [
            {"question": question, "right": right, **reply_json(reply)} for question, reply, right in rows
        ]
        print_json({"answers": answers, "right": score, "questions": len(rows), "cost": asdict(total)})
        return
    click.echo(
        f"\n{score} of {len(rows)} right; {amount(total.macs)} multiply-accumulates "
        f"and {total.milliseconds:.0f} ms in all."
    )
    click.echo('Now yours:  tinyllm ask "how many cups are in 2 liters"')


def is_right(reply: Reply, expected: str | None) -> bool:
    """Whether the reply holds the expected figure or word, or refuses where it should."""
    if expected is None:
        return reply.status == "refused"
    pattern = rf"(?<![\w.]){re.escape(expected)}" + ("" if "." in expected else r"(?!\w)")
    return reply.status == "answered" and re.search(pattern, reply.answer, re.IGNORECASE) is not None
