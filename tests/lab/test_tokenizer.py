import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.lab.tokenizer import END, PAD, Tokenizer

WORDS = ["<n0>", "<n01>", "<convert>"]


@pytest.fixture(scope="module", params=["smollm", "gpt-2"])
def trained(request, texts):
    return Tokenizer.train(texts, 300, WORDS, request.param)


def test_layout(trained):
    assert trained.size == 300
    assert (trained.end, trained.pad) == (0, 1)
    assert [text for text, _ in trained.pieces[:5]] == [END, PAD, *WORDS]
    assert [kind for _, kind in trained.pieces[:6]] == ["control"] * 2 + ["user_defined"] * 3 + ["normal"]
    assert len(trained.merges) == 300 - 256 - 5


def test_whole_words_are_one_token_wherever_they_stand(trained):
    assert trained.encode("a<n0>b<n01>") == [*trained.encode("a"), 2, *trained.encode("b"), 3]
    assert trained.encode(f"<convert>{END}") == [4, 0]
    assert trained.decode([4, 2, 0]) == f"<convert><n0>{END}"
    assert trained.id("<n01>") == 3


def test_frequent_words_become_few_tokens_and_digits_stay_apart_in_smollm(trained):
    assert len(trained.encode("how many days are")) < 12
    assert len(Tokenizer.train(["1234 1234"] * 9, 300, pre="smollm").encode("1234")) == 4
    assert len(Tokenizer.train(["1234 1234"] * 9, 300, pre="gpt-2").encode("1234")) == 1


@settings(max_examples=60, deadline=None)
@given(text=st.lists(st.one_of(st.text(), st.sampled_from([*WORDS, " ", "\n", "12"]))).map("".join))
def test_any_text_survives_a_round_trip(trained, text):
    assert trained.decode(trained.encode(text)) == text


def test_a_saved_tokenizer_loads_as_it_was(trained, texts, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.pieces, loaded.merges, loaded.pre) == (trained.pieces, trained.merges, trained.pre)
    assert loaded.encode(texts[1] + "<n0>é") == trained.encode(texts[1] + "<n0>é")


def test_what_cannot_be_a_tokenizer_is_refused(trained, texts, tmp_path):
    with pytest.raises(ValueError, match="too small"):
        Tokenizer.train(texts, 260, WORDS)
    for words in (["<n0>", "<n0>"], [""], [PAD]):
        with pytest.raises(ValueError, match="distinct"):
            Tokenizer.train(texts, 300, words)
    for nothing in ([], [""], iter(["", ""]), [PAD, "<n0>"]):
        with pytest.raises(ValueError, match="no text"):
            Tokenizer.train(nothing, 300, WORDS)
    with pytest.raises(ValueError, match="<n7>"):
        trained.id("<n7>")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ValueError, match="not a tokenizer file"):
        Tokenizer.load(tmp_path / "broken.json")
