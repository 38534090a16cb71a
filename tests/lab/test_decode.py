"""The benchmark of decoding: both ways write as many tokens, and are timed in turn."""

from benchmarks import decode


def test_both_ways_write_the_tokens_that_are_timed(monkeypatch, tmp_path, tokenizer):
    shape = {"width": 32, "layers": 1, "hidden": 32, "heads": 2, "groups": 1}
    monkeypatch.setattr(decode, "SHAPES", {"tiny": shape})
    monkeypatch.setattr(decode, "WRITTEN", 8)
    monkeypatch.setattr(decode, "PROMPT", 5)
    figures = decode.measure("tiny", tokenizer, tmp_path, rounds=3)
    assert len(figures["ratios"]) == 3 and figures["ratio"] == figures["ratios"][1] > 0
    assert figures["eager_tokens_a_second"] > 0 and figures["gguf_tokens_a_second"] > 0
