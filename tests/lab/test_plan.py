import pytest

from tinyllm.lab.plan import Option, Plan


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("0 1 2 3", (0, 1, 2, 3)),
        ("0 1 2 1 2 3", (0, 1, 2, 1, 2, 3)),
        ("0 (1 2)*4 3", (0, 1, 2, 1, 2, 1, 2, 1, 2, 3)),
        ("0 1*3", (0, 1, 1, 1)),
        ("(0 (1)*2)*2 ", (0, 1, 1, 0, 1, 1)),
        ("12(3)", (12, 3)),
    ],
)
def test_a_written_plan_is_the_order_in_which_layers_run(text, order):
    assert Plan.parse(text).order == order
    assert Plan.parse(str(Plan.parse(text))).order == order


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "0 (1 2", "0 1) 2", "*2 0", "(*2)", "0*0", "0 x 1", "0 -1", "()"),
        *("?", "() ? 0", "0 *<=2", "0 (1)*<=0?", "0 ?x", "*<=2?", "0 1?5.5.5"),
        *("(0 1)*100000", "((0*100)*100)*100", "0*<=5000?"),
    ],
)
def test_what_is_not_a_plan_is_refused(text):
    with pytest.raises(ValueError, match="plan"):
        Plan.parse(text)


@pytest.mark.parametrize(
    ("text", "order", "options"),
    [
        ("0 1? 2", (0, 1, 2), [(1, 2, 0.3)]),
        ("0 1?.25 2 ?", (0, 1, 2), [(1, 2, 0.25), (2, 3, 0.3)]),
        ("0 (1 2)*<=3?0.02 3", (0, 1, 2, 1, 2, 1, 2, 3), [(3, 5, 0.02), (5, 7, 0.02)]),
        ("0 (1 2)*<=1? 3", (0, 1, 2, 3), []),
        ("0 (1 2?)*2", (0, 1, 2, 1, 2), [(2, 3, 0.3), (4, 5, 0.3)]),
        ("0 (1 2?)?0.00001", (0, 1, 2), [(1, 3, 0.00001), (2, 3, 0.3)]),
        ("0 1?2", (0, 1, 2), [(1, 2, 0.3)]),
    ],
)
def test_what_a_plan_leaves_open_are_options(text, order, options):
    plan = Plan.parse(text)
    assert plan == Plan(order, tuple(Option(*option) for option in options))
    assert Plan.parse(str(plan)) == plan


def test_a_plan_may_only_name_layers_that_exist():
    Plan.parse("0 2 1").check(3)
    with pytest.raises(ValueError, match="layer 3"):
        Plan.parse("0 3").check(3)
