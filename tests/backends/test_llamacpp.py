"""What the engine in this process does beyond the conformance suite: files, adapters, grammars, silence."""

import asyncio
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.backends.conformance import PIECES, TEXT, ask
from tests.support.tiny_gguf import write_adapter, write_random, write_scripted
from tinyllm.backends.folding import complete
from tinyllm.backends.llamacpp import Adapter, LlamaCpp, Options
from tinyllm.errors import BackendError, ModelFileError
from tinyllm.types import JSON, Completion, Message, Prompt


async def asked(path: Path, prompt: Prompt | None = None, **options: JSON) -> Completion:
    backend = LlamaCpp("m", Options(path=path, **options))
    try:
        return await complete(backend, prompt or ask())
    finally:
        await backend.close()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.gguf' does not exist") as error:
        await asked(tmp_path / "none.gguf")
    assert error.value.hint
    with pytest.raises(ModelFileError, match="cannot be read"):
        await asked(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 a zip file", "is not a GGUF model"),
        (b"GGUF", "is damaged"),
        (b"GGUF\x07\x00\x00\x00" + bytes(16), "version 7 is unknown"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, "a length in its header is impossible"),
        (b"GGUF\x03\x00\x00\x00" + bytes(16), "names no architecture"),
    ],
)
async def test_what_is_not_a_model_never_reaches_the_engine(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        await asked(path)


async def test_a_truncated_file_is_found_wherever_it_was_cut(files: dict[str, Path], tmp_path: Path) -> None:
    whole = files["speaker"].read_bytes()
    path = tmp_path / "cut.gguf"
    for length in (5, 30, 500, 3000, 6000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="is damaged"):
            await asked(path)


async def test_a_flipped_bit_is_found_by_the_hash(files: dict[str, Path], tmp_path: Path) -> None:
    whole = bytearray(files["speaker"].read_bytes())
    good = sha256(files["speaker"])
    assert (await asked(files["speaker"], sha256=good.upper())).text == TEXT
    whole[-100] ^= 4
    path = tmp_path / "flipped.gguf"
    path.write_bytes(whole)
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        await asked(path, sha256=good)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"three ".replace(b" ", "Ġ".encode()), b"fourx".ljust(7, b"x"), None),
        (b"\x01\x00\x00\x00\x00\x00\x00\x00A", b"\x01\x00\x00\x00\x00\x00\x00\x00B", "repeats a token"),
        (b"llama.block_count\x04\x00\x00\x00\x01", b"llama.block_count\x04\x00\x00\x00\x00", "0 layers"),
        (b"llama.block_count\x04", b"llama.block_count\x63", "type 99 is unknown"),
        (b"blk.0.attn_q", b"blk.0.attn_z", "does not load"),
        (b"\x00llama.context_length", b"\x00gamma.context_length", None),
        (b"\x05\x00\x00\x00\x00\x00\x00\x00llama", b"\x05\x00\x00\x00\x00\x00\x00\x00llamx", "does not load"),
    ],
)
async def test_a_damaged_header_is_an_error_and_never_a_crash(
    files: dict[str, Path], tmp_path: Path, old: bytes, new: bytes, message: str | None
) -> None:
    whole = files["speaker"].read_bytes()
    assert old in whole
    path = tmp_path / "damaged.gguf"
    path.write_bytes(whole.replace(old, new, 1))
    if message is None:  # damage that leaves a model all the same, or that the engine finds
        try:
            await asked(path)
        except ModelFileError as error:
            assert error.hint
        return
    with pytest.raises(ModelFileError, match=message):
        await asked(path)


async def test_a_model_that_failed_to_load_can_be_mended_in_place(
    files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "late.gguf"
    backend = LlamaCpp("m", Options(path=path))
    with pytest.raises(ModelFileError):
        await complete(backend, ask())
    path.write_bytes(files["speaker"].read_bytes())
    assert (await complete(backend, ask())).text == TEXT
    await backend.close()


async def test_adapters_are_chosen_for_each_request(files: dict[str, Path], tmp_path: Path) -> None:
    adapters = {
        str(first): Adapter(path=write_adapter(tmp_path / f"{first}.gguf", PIECES, first)) for first in (1, 3)
    }
    backend = LlamaCpp("m", Options(path=files["speaker"], adapters=adapters, cache_prompt=True))
    said = [
        (await complete(backend, ask(adapter=name))).text for name in (None, "1", "3", None, "3", "1", None)
    ]
    after = {None: TEXT, "1": "".join(PIECES[1:]), "3": "".join(PIECES[3:])}
    assert said == [after[name] for name in (None, "1", "3", None, "3", "1", None)]
    with pytest.raises(BackendError, match="no adapter 'x'") as error:
        await complete(backend, ask(adapter="x"))
    assert error.value.hint == "its adapters: 1, 3"
    await backend.close()


async def test_a_missing_or_damaged_adapter_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.gguf' does not exist"):
        await asked(files["speaker"], adapters={"a": Adapter(path=tmp_path / "none.gguf")})
    path = write_adapter(tmp_path / "a.gguf", PIECES, 1)
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        await asked(files["speaker"], adapters={"a": Adapter(path=path, sha256="0" * 64)})


@pytest.mark.parametrize("template", ["chat", "raw"])
async def test_a_grammar_and_a_schema_bind_the_answer(tmp_path: Path, template: str) -> None:
    noise = write_random(tmp_path / "noise.gguf")
    call = await asked(noise, ask(grammar='root ::= ("convert" | "refuse") " n0"'), template=template)
    assert call.text in ("convert n0", "refuse n0")
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    answer = await asked(noise, ask(json_schema={**schema, "additionalProperties": False}), template=template)
    assert "".join(answer.text.split()) in ('{"a":"x"}', '{"a":"y"}')
    with pytest.raises(BackendError, match="cannot take this request"):
        await asked(noise, ask(grammar="root ::= ("), template=template)


async def test_a_raw_prompt_is_one_message_without_a_template(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", PIECES)
    raw, chat = await asked(path, template="raw"), await asked(path)
    assert raw.text == chat.text == TEXT
    assert raw.cost.tokens_in == 2  # h, i
    assert chat.cost.tokens_in > 10
    assert (await asked(path, ask("\ud83d"), template="raw")).text == TEXT
    two = Prompt((Message("system", "be brief"), Message("user", "hi")))
    with pytest.raises(BackendError, match="takes one message, not 2"):
        await asked(path, two, template="raw")


async def test_the_same_seed_draws_the_same_answer(tmp_path: Path) -> None:
    backend = LlamaCpp("m", Options(path=write_random(tmp_path / "noise.gguf")))
    drawn = [
        await complete(backend, ask(temperature=2.0, seed=seed, max_tokens=20, scores=True))
        for seed in (1, 1, 2)
    ]
    await backend.close()
    assert drawn[0].scores == drawn[1].scores  # to the last bit
    assert drawn[0].text != drawn[2].text


async def test_cost_counts_the_weights_that_a_token_touches(files: dict[str, Path]) -> None:
    plain = await asked(files["speaker"])
    rows = 260 + len(PIECES)
    touched = 7 * 64 * 64 + 3 * 64 + rows * 64
    assert plain.cost.macs == touched * (plain.cost.tokens_in + plain.cost.tokens_out)
    assert (await asked(files["speaker"], parameters=10)).cost.macs < plain.cost.macs


async def test_work_is_repeated_exactly_unless_a_cache_is_asked_for(files: dict[str, Path]) -> None:
    for cached in (False, True):
        backend = LlamaCpp("m", Options(path=files["speaker"], cache_prompt=cached))
        first, second = [(await complete(backend, ask())).cost for _ in range(2)]
        await backend.close()
        assert first.tokens_in == second.tokens_in
        assert (second.macs < first.macs) is cached


class Engine:
    """Stands in for the engine: talks until it is told to stop, and shows how it was set up."""

    made: ClassVar[list["Engine"]] = []

    def __init__(self, params: Any) -> None:
        self.params = params
        self.stopped = threading.Event()
        self.made.append(self)

    def handle_completions(self, body: JSON, tell: Callable[[JSON], bool] | None = None) -> None:
        assert tell is None  # the warm-up

    def handle_chat_completions(self, body: JSON, tell: Callable[[JSON], bool]) -> None:
        while not tell({"choices": [{"delta": {"content": "on "}}]}):
            time.sleep(0.001)
        self.stopped.set()


@pytest.mark.parametrize("how", ["cancel", "close", "timeout"])
async def test_an_engine_is_told_to_stop(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("xllamacpp.Server", Engine)
    backend = LlamaCpp("m", Options(path=files["speaker"], adapters={"a": Adapter(path=files["talker"])}))
    begun = asyncio.Event()
    prompt = ask(timeout=0.05 if how == "timeout" else 60)
    task = asyncio.create_task(complete(backend, prompt, lambda _: begun.set()))
    await begun.wait()
    if how == "cancel":
        task.cancel()
    elif how == "close":
        await backend.close()
    with pytest.raises((asyncio.CancelledError, BackendError)):
        await task
    engine = Engine.made[-1]
    assert await asyncio.to_thread(engine.stopped.wait, 5)
    await backend.close()
    assert engine.params.api_keys[0]  # its loopback port is locked
    assert [adapter.scale for adapter in engine.params.lora_adapters] == [0.0]


async def test_a_question_beyond_the_context_is_refused_plainly(files: dict[str, Path]) -> None:
    with pytest.raises(BackendError, match="too long for model 'm'") as error:
        await asked(files["speaker"], ask("x" * 5000))
    assert not error.value.retryable
    assert "context" in error.value.hint


async def test_the_engine_says_nothing_on_the_terminal(
    files: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await asked(files["speaker"])
    await asked(files["caller"])
    path = tmp_path / "bad.gguf"
    path.write_bytes(files["speaker"].read_bytes().replace(b"blk.0.attn_q", b"blk.0.attn_z"))
    with pytest.raises(ModelFileError):
        await asked(path)
    assert capfd.readouterr() == ("", "")


def test_a_program_that_forgets_to_close_still_ends(files: dict[str, Path]) -> None:
    program = f"""
import asyncio
from pathlib import Path
from tinyllm.backends.folding import complete
from tinyllm.backends.llamacpp import LlamaCpp, Options
from tinyllm.types import Message, Prompt
model = LlamaCpp("m", Options(path=Path({str(files["speaker"])!r})))
for _ in range(2):  # each run has its own event loop
    print(asyncio.run(complete(model, Prompt((Message("user", "hi"),)))).text)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{TEXT}\n{TEXT}\n", "")
