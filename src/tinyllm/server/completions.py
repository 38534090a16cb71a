"""OpenAI's older `/v1/completions`: a prompt is one question, and several prompts are several questions."""

from dataclasses import replace

from pydantic import Field
from pydantic_core import to_json

from tinyllm.server.access import Caller
from tinyllm.server.answer import Answer
from tinyllm.server.chat import ChatWriter
from tinyllm.server.endpoint import Job
from tinyllm.server.faults import BadParameter
from tinyllm.server.messages import MOST_CHOICES, Wishes, parsed, requests_of, sampling_of
from tinyllm.server.service import Service
from tinyllm.types import JSON, Message, Request


class Completion(Wishes):
    prompt: str | list[str] = Field(min_length=1)


def read_completion(body: bytes, caller: Caller, service: Service) -> Job:
    """The job that a body asks for. Raises BadParameter, NotFound."""
    asked = parsed(Completion, body)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    if len(prompts) * (asked.n or 1) > MOST_CHOICES:
        raise BadParameter(f"at most {MOST_CHOICES} answers can be asked for at once", "prompt")
    model = service.model(asked.model)
    one = Request((Message("user", prompts[0]),), model)
    wanted = requests_of(asked, one, caller, sampling_of(asked))
    requests = [replace(each, messages=(Message("user", prompt),)) for prompt in prompts for each in wanted]
    return Job(tuple(requests), bool(asked.stream), CompletionWriter(model, usage=asked.include_usage))


class CompletionWriter(ChatWriter):
    """Writes text completions, whose chunks hold bare text and name no role."""

    kind, chunk_kind, nothing = "text_completion", "text_completion", b'"text":""'

    def begin(self, index: int) -> bytes:
        return b""

    def text(self, text: str) -> bytes:
        return b'"text":' + to_json(text)

    def told(self, answer: Answer) -> dict[str, JSON]:
        return {"text": answer.text}
