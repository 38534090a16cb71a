"""Preferences: what counts as one, which choices it speaks for, and how far that goes."""

import pytest

from tinyllm.routing.preferences import MOST, WEIGHT, Preference, match, preference, sway, words

LANGUAGES = {"python": "", "javascript": "", "talk": "anything else"}


@pytest.mark.parametrize(
    ("fact", "likes", "dislikes"),
    [
        ("prefers Python over JavaScript", {"python"}, {"javascript"}),
        ("I prefer C++ to all else", {"c++", "all"}, set()),
        ("The user always uses tabs", None, None),
        ("use metric units", {"metric", "units"}, set()),
        ("Please answer in German", {"german"}, set()),
        ("Avoid Java", set(), {"java"}),
        ("I don't like Java", set(), {"java", "like"}),
        ("never use feet rather than metres", {"metres"}, {"feet"}),
        ("works in Oslo", None, None),
        ("lives where people prefer tea", None, None),
        ("preferred stock is what she sells", None, None),
    ],
)
def test_a_preference_is_what_begins_like_one(
    fact: str, likes: set[str] | None, dislikes: set[str] | None
) -> None:
    expected = None if likes is None else Preference(frozenset(likes), frozenset(dislikes or ()))
    assert preference(fact) == expected


def test_a_preference_speaks_for_what_its_words_name() -> None:
    wish = preference("prefers Python over JavaScript")
    assert wish is not None
    assert match(wish, LANGUAGES) == {"python": 1.0}
    assert match(wish, {"a": "scripts in Python", "b": "web pages"}) == {"a": 1.0}
    assert match(wish, {"a-python": "", "b": "Python too", "c": ""}) == {"a-python": 0.5, "b": 0.5}
    assert match(wish, {"a": "", "b": ""}) == match(wish, {"python": ""}) == {}
    assert match(wish, {"pythonic": "", "b": ""}) == {}


def test_a_dislike_speaks_for_the_others() -> None:
    wish = preference("avoid JavaScript")
    assert wish is not None
    assert match(wish, LANGUAGES) == {"python": 0.5, "talk": 0.5}
    assert match(wish, {"javascript": ""}) == {}


def test_odds_stay_odds_and_move_by_a_bounded_amount() -> None:
    odds = {"python": 0.4, "javascript": 0.5, "talk": 0.1}
    assert sway(odds, []) == odds
    for count in (1, 2, 3, 100):
        moved = sway(odds, [{"python": 1.0}] * count)
        assert sum(moved.values()) == pytest.approx(1)
        k = min(count, MOST)
        assert moved["python"] == pytest.approx((0.4 * WEIGHT + k) / (WEIGHT + k))


def test_a_router_that_is_sure_is_never_overruled() -> None:
    lead = MOST / WEIGHT
    for other in (0.3, 0.2):
        odds = {"python": other, "javascript": other + lead + 0.01}
        moved = sway(odds, [{"python": 1.0}] * 100)
        assert moved["javascript"] > moved["python"]
    unsure = sway({"python": 0.4, "javascript": 0.4 + lead - 0.05}, [{"python": 1.0}] * 2)
    assert unsure["python"] > unsure["javascript"]


def test_what_all_preferences_say_is_averaged() -> None:
    odds = {"python": 0.5, "javascript": 0.5}
    assert sway(odds, [{"python": 1.0}, {"javascript": 1.0}]) == odds


def test_words_leave_out_those_that_say_nothing() -> None:
    assert words("Write it in C++, or the F# of C") == {"c++", "f#", "c"}
