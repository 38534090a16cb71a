"""What the plain model learns: answers that tools computed, and refusals."""

import pytest

from tinyllm.starter.plain import REFUSAL, brief, plain_pairs


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("847*392 = 332024", "332024"),
        ("1 meter ≈ 39.3701 inches", "39.3701 inches"),
        ("20 July 1969 was a Sunday.", "Sunday"),
        ("the area of a circle of radius 2 is about 12.57", "12.57"),
        ("21:49 (9:49 PM) in Berlin is 21:49 (9:49 PM) in Andorra.", "21:49 in Andorra"),
        ("rhythm is spelled r-h-y-t-h-m.", "r-h-y-t-h-m"),
    ],
)
def test_an_answer_leaves_the_question_out(sentence: str, answer: str) -> None:
    assert brief(sentence) == answer


async def test_pairs_come_from_the_seed_and_hold_at_any_moment() -> None:
    pairs = await plain_pairs(3, 60)
    assert await plain_pairs(4, 8) == await plain_pairs(4, 8)
    assert len({question for question, _ in pairs}) > 50
    refused = sum(answer == REFUSAL for _, answer in pairs)
    assert 4 < refused < 24
    assert not any("today" in question.lower() for question, answer in pairs if answer != REFUSAL)
