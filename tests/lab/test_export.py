import asyncio
import json
import random
from dataclasses import replace

import gguf
import pytest
import torch
from safetensors.torch import load_file

from tinyllm.backends.folding import complete
from tinyllm.backends.llamacpp import Adapter, LlamaCpp, Options
from tinyllm.lab import export, lora
from tinyllm.lab.generate import greedy
from tinyllm.lab.model import Config, Model
from tinyllm.lab.plan import Plan
from tinyllm.lab.tokenizer import Tokenizer
from tinyllm.types import Message, Prompt, Sampling


@pytest.fixture(scope="module")
def config(tokenizer):
    return Config(vocab=tokenizer.size, width=64, layers=2, heads=4, groups=2, hidden=96, context=128)


@pytest.fixture(scope="module")
def prompts(texts, tokenizer):
    return [tokenizer.encode(text)[:3] for text in texts]


def log_probabilities(model, prompt, answer):
    """What `model` gives each token of `answer` after `prompt`."""
    logits = model(torch.tensor([[*prompt, *answer]]))[0][0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0].tolist()


def assert_equal(model, llama, prompts, tolerance):
    for prompt, answer in zip(prompts, greedy(model, prompts, 12, stop=0), strict=True):
        ids, logprobs = llama.greedy(prompt, 12)
        assert ids[: len(answer)] == answer and len(answer) > 5
        expected = log_probabilities(model, prompt, answer)
        assert logprobs[: len(answer)] == pytest.approx(expected, abs=tolerance)


def test_llamacpp_answers_as_the_model(config, memorise, tokenizer, prompts, llamacpp, tmp_path):
    model = memorise(Model(config))
    for precision, tolerance in (("f32", 1e-3), ("f16", 1e-2), ("q8_0", 0.2)):
        export.write_gguf(model, tokenizer, tmp_path / f"{precision}.gguf", precision)
        assert_equal(model, llamacpp(tmp_path / f"{precision}.gguf"), prompts, tolerance)


@pytest.mark.parametrize(
    ("change", "plan"),
    [
        ({"tied": False}, "0 1"),
        ({}, "0 1*2 0"),
        ({"groups": 4, "theta": 500.0}, "0 1"),
        ({"groups": 1, "context": 64}, "1"),
    ],
)
def test_every_shape_and_plan_runs_in_llamacpp(
    change, plan, config, memorise, tokenizer, prompts, llamacpp, tmp_path
):
    model = memorise(Model(replace(config, **change), Plan.parse(plan)))
    export.write_gguf(model, tokenizer, tmp_path / "m.gguf", "f32")
    assert_equal(model, llamacpp(tmp_path / "m.gguf"), prompts, 1e-3)


@pytest.mark.parametrize(("hidden", "kind"), [(96, "Q8_0"), (80, "F16")])
def test_eight_bits_but_for_rows_that_are_not_whole_blocks(
    hidden, kind, config, memorise, tokenizer, prompts, llamacpp, tmp_path
):
    model = memorise(Model(replace(config, hidden=hidden)))
    export.write_gguf(model, tokenizer, tmp_path / "m.gguf", "q8_0")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert kinds["blk.0.ffn_down.weight"] == kind
    assert (kinds["blk.1.ffn_up.weight"], kinds["blk.1.ffn_norm.weight"]) == ("Q8_0", "F32")
    assert_equal(model, llamacpp(tmp_path / "m.gguf"), prompts, 0.2)


@pytest.mark.parametrize("pre", ["smollm", "gpt-2"])
def test_llamacpp_tokenises_alike(pre, config, texts, llamacpp, tmp_path):
    words = ["<n0>", "<n01>", "<convert>", "percent", "é(", "naïve"]
    # Runs of digits and of spaces before digits are where the two ways of cutting differ.
    tokenizer = Tokenizer.train([*texts, "1234  1234  56  56  1234"], config.vocab, words, pre)
    export.write_gguf(Model(config), tokenizer, tmp_path / "m.gguf")
    llama = llamacpp(tmp_path / "m.gguf")
    draw = random.Random(0)
    pieces = [
        *words,
        *" \n\t'.,?!-12345678é€",
        "  ",
        "don't",
        "I'LL",
        "½",
        "中文",
        "😀",
        "\u00a0",
        "cups",
        "<",
        "n0>",
    ]
    drawn = ["".join(draw.choices(pieces, k=draw.randrange(1, 20))) for _ in range(150)]
    for text in [*texts, "", " ", "x\r\n\r\n  y  ", "<|end|>a<|pad|>", *drawn]:
        assert llama.tokenize(text) == tokenizer.encode(text), text


def test_adapters_are_chosen_per_request(config, memorise, texts, tokenizer, prompts, llamacpp, tmp_path):
    model = memorise(Model(config))
    export.write_gguf(model, tokenizer, tmp_path / "base.gguf", "f32")
    answers = {None: greedy(model, prompts, 12, stop=0)}
    expected = {None: [log_probabilities(model, *pair) for pair in zip(prompts, answers[None], strict=True)]}
    for adapter in (0, 1):  # each begins a text as the base does and ends it as another one
        ends = [text[-15:] for text in (texts * 2)[adapter + 1 :][:4]]
        lora.attach(model, rank=4, alpha=6.0, seed=adapter)
        memorise(model, [tokenizer.decode(p) + end for p, end in zip(prompts, ends, strict=True)], "adamw")
        export.write_lora(model, tmp_path / f"{adapter}.gguf", "f32")
        answers[adapter] = greedy(model, prompts, 12, stop=0)
        pairs = zip(prompts, answers[adapter], strict=True)
        expected[adapter] = [log_probabilities(model, *pair) for pair in pairs]
        lora.detach(model)
    assert answers[None] != answers[0] != answers[1]
    llama = llamacpp(tmp_path / "base.gguf", [tmp_path / "0.gguf", tmp_path / "1.gguf"])
    for index, prompt in enumerate(prompts):
        for adapter in (0, None, 1, 0):
            ids, logprobs = llama.greedy(prompt, 12, adapter)
            answer = answers[adapter][index]
            assert ids[: len(answer)] == answer and len(answer) > 3
            assert logprobs[: len(answer)] == pytest.approx(expected[adapter][index], abs=1e-3)


@pytest.mark.parametrize(("precision", "tolerance"), [("f16", 0.02), ("q8_0", 0.3)])
def test_adapters_answer_alike_on_a_base_in_fewer_bits(
    precision, tolerance, config, memorise, texts, tokenizer, prompts, llamacpp, tmp_path
):
    model = memorise(Model(config))
    export.write_gguf(model, tokenizer, tmp_path / "base.gguf", precision)
    before = greedy(model, prompts, 12, stop=0)
    lora.attach(model, rank=4, alpha=6.0)
    ends = [text[-15:] for text in (*texts[1:], texts[0])]
    memorise(model, [tokenizer.decode(p) + end for p, end in zip(prompts, ends, strict=True)], "adamw")
    export.write_lora(model, tmp_path / "adapter.gguf")
    answers = greedy(model, prompts, 12, stop=0)
    assert all(map(list.__ne__, answers, before))
    llama = llamacpp(tmp_path / "base.gguf", [tmp_path / "adapter.gguf"])
    for prompt, answer, plain in zip(prompts, answers, before, strict=True):
        ids, logprobs = llama.greedy(prompt, 12, 0)
        assert ids[: len(answer)] == answer
        assert logprobs[: len(answer)] == pytest.approx(
            log_probabilities(model, prompt, answer), abs=tolerance
        )
        assert llama.greedy(prompt, 12)[0][: len(plain)] == plain


def test_what_was_read_without_an_adapter_is_read_anew_with_it(config, sharp, texts, tokenizer, tmp_path):
    model = sharp(config)
    export.write_gguf(model, tokenizer, tmp_path / "base.gguf", "f16")
    export.write_lora(adapted(model), tmp_path / "adapter.gguf")

    async def answers(*asked):
        """What a backend that may keep what it has read says to these texts, each with its adapter."""
        options = Options(
            path=tmp_path / "base.gguf",
            template="raw",
            context=128,
            cache_prompt=True,
            adapters={"a": Adapter(path=tmp_path / "adapter.gguf")},
        )
        backend, said, sampling = LlamaCpp("m", options), [], Sampling(max_tokens=12)
        for text, adapter in asked:
            prompt = Prompt((Message("user", text),), sampling=sampling, adapter=adapter, scores=True)
            said.append((await complete(backend, prompt)).scores)
        await backend.close()
        return said

    alone = asyncio.run(answers(*((text, "a") for text in texts)))
    both = asyncio.run(answers(*((text, adapter) for adapter in (None, "a") for text in texts)))
    for ours, theirs in zip(both[len(texts) :], alone, strict=True):
        assert [score.token for score in ours] == [score.token for score in theirs]
        assert [score.logprob for score in ours] == pytest.approx([s.logprob for s in theirs], abs=1e-3)


@pytest.mark.parametrize("tied", [True, False])
def test_safetensors_come_back_bit_for_bit(tied, config, sharp, tokenizer, tmp_path):
    model = sharp(replace(config, tied=tied))
    export.write_safetensors(model, tokenizer, tmp_path / "model")
    loaded, words = export.read_safetensors(tmp_path / "model")
    assert loaded.config == model.config
    assert all(map(torch.equal, loaded.parameters(), model.parameters()))
    assert words.pieces == tokenizer.pieces


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_the_folder_with_equal_logits(tied, config, sharp, texts, tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers", reason="only where transformers is installed")
    model = sharp(replace(config, tied=tied, theta=500.0, eps=1e-3), Plan.parse("0 1 1"))
    export.write_safetensors(model, tokenizer, tmp_path)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([tokenizer.encode(texts[1])])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids)[0], atol=1e-3, rtol=1e-3)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)(texts[1]).input_ids == ids[0].tolist()


def adapted(model):
    """`model` with an adapter that changes what it says."""
    lora.attach(model, rank=4, alpha=6.0)
    for module in lora.adapter(model).values():
        module.b.data.normal_(std=0.3, generator=torch.Generator().manual_seed(module.b.shape[0]))
    return model


def test_an_adapter_for_peft_holds_every_projection_of_every_slot(config, sharp, tmp_path):
    model = adapted(sharp(config, Plan.parse("0 1 1")))
    export.write_peft(model, tmp_path / "adapter", "the/base")
    layout = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (layout["r"], layout["lora_alpha"], layout["base_model_name_or_path"]) == (4, 6.0, "the/base")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(tensors) == 3 * 7 * 2 and len(layout["target_modules"]) == 7
    ours = lora.adapter(model)["blocks.1.ffn.down"]
    theirs = "base_model.model.model.layers.2.mlp.down_proj"
    assert torch.equal(tensors[f"{theirs}.lora_A.weight"], ours.a)
    assert torch.equal(tensors[f"{theirs}.lora_B.weight"], ours.b)
    lora.detach(model)
    with pytest.raises(ValueError, match="no adapter"):
        export.write_peft(model, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_peft_loads_an_adapter_with_equal_logits(config, sharp, texts, tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers", reason="only where transformers is installed")
    peft = pytest.importorskip("peft", reason="only where peft is installed")
    model = sharp(replace(config, theta=500.0), Plan.parse("0 1 1"))
    ids = torch.tensor([tokenizer.encode(texts[1])])
    plain = model(ids)[0]
    export.write_safetensors(model, tokenizer, tmp_path / "base")
    export.write_peft(adapted(model), tmp_path / "adapter")
    base = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids)[0], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(model(ids)[0], plain, atol=0.1)


def test_files_that_cannot_be_right_are_refused(config, tokenizer, tmp_path):
    model = Model(replace(config, vocab=400))
    with pytest.raises(ValueError, match="tokens"):
        export.write_gguf(model, tokenizer, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()
    with pytest.raises(ValueError, match="no adapter"):
        export.write_lora(model, tmp_path / "a.gguf")
    for change in ({"mixer": "gru"}, {"window": 4}, {"position": "learned"}, {"pauses": True}):
        with pytest.raises(ValueError, match=f"only a Llama .* {next(iter(change))}"):
            export.write_gguf(Model(replace(config, **change)), tokenizer, tmp_path / "m.gguf")
    with pytest.raises(ValueError, match="leave it open"):
        export.write_gguf(Model(config, Plan.parse("0 1?")), tokenizer, tmp_path / "m.gguf")
    lora.attach(model)
    with pytest.raises(ValueError, match="detach"):
        export.write_safetensors(model, tokenizer, tmp_path / "s")
    export.write_safetensors(Model(config), tokenizer, tmp_path / "s")
    layout = json.loads((tmp_path / "s" / "config.json").read_text())
    (tmp_path / "s" / "config.json").write_text(json.dumps(layout | {"hidden_size": 32}))
    with pytest.raises(ValueError, match="misshapen"):
        export.read_safetensors(tmp_path / "s")
    del layout["vocab_size"]
    (tmp_path / "s" / "config.json").write_text(json.dumps(layout))
    with pytest.raises(ValueError, match="vocab_size"):
        export.read_safetensors(tmp_path / "s")
