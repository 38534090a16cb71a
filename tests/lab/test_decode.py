"""The benchmark of decoding: all ways write as many tokens, and are timed in turn."""

from benchmarks import decode


def test_all_ways_write_the_tokens_that_are_timed(monkeypatch, tmp_path, tokenizer):
    shape = {"width": 32, "layers": 1, "hidden": 32, "heads": 2, "groups": 1}
    monkeypatch.setattr(decode, "SHAPES", {"tiny": shape})
    monkeypatch.setattr(decode, "WRITTEN", 8)
    monkeypatch.setattr(decode, "PROMPT", 5)
    figures = decode.measure("tiny", tokenizer, tmp_path, rounds=3)
    for ratio in ("ratio", "uncached_ratio"):
        assert len(figures[f"{ratio}s"]) == 3 and figures[ratio] == figures[f"{ratio}s"][1] > 0
    assert all(figures[f"{way}_tokens_a_second"] > 0 for way in ("eager", "uncached", "gguf"))
