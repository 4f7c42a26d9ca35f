"""The façade that both front ends and all tasks use: text and messages in, typed chunks out.

A session owns one loaded model and one KV cache, which it reuses for the longest common prefix of consecutive
prompts. One thread at a time may use it. Importing this file does not import torch; opening a session does.
"""

from __future__ import annotations

import copy
import itertools
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Self, cast

from engine import ahead, manifest, model_folder, shipped, transcript
from engine.chat_format import ChatFormat
from engine.config import TOGETHER
from engine.counter import TextCounter, with_controls
from engine.errors import InputTooLong, OutputError, UsageError
from engine.lean import import_torch
from engine.threads import MOST, wait_politely
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    import torch
    from numpy import float32
    from numpy.typing import NDArray
    from torch import Tensor

    from engine.batch import Together
    from engine.config import DeviceChoice, ModelConfig, QuantizationConfig, SamplingConfig
    from engine.generation import Generation
    from engine.kernels import Kernel
    from engine.manifest import Manifest
    from engine.model import Decoder
    from engine.probe import Glance, Probe
    from engine.schema import Chunk, Message
    from engine.structure import Constraint, Grammar, Vocabulary


class Session(TextCounter):
    """A loaded model, its tokenizer, its chat format and its KV cache."""

    has_scores = True
    """Whether the probability of a whole text can be had."""

    def __init__(
        self, name: str, model: Decoder, tokenizer: Tokenizer, chat: ChatFormat, kernel: Kernel, device: torch.device
    ) -> None:
        super().__init__(tokenizer)
        from engine.held import Held
        from engine.kernels import cache_dtype

        self.name = name
        self.config: ModelConfig = model.config
        self.context = model.config.max_context
        self.device = device.type
        self.kernel = kernel.name
        self.is_chat = chat.is_chat
        self.identity = name
        """Names these very weights, as this kernel runs them: what results may be kept under."""
        self.probes: Mapping[str, Path] = {}
        """Questions that this model answers at a glance (`engine.probe`), and the files that hold how."""
        self._glances: dict[str, Glance] = {}
        """Those that were needed; forks have them in common, as each is back at its prefix after every pass."""
        self._model, self._chat = model, chat
        self._held = Held(model.config, cache_dtype(device), device)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        device: DeviceChoice = "auto",
        threads: int | None = None,
        context: int | None = None,
        adapter: Path | None = None,
        lean: bool = False,
    ) -> Self:
        """Load a model folder. `context` lowers the model's own limit, in tokens; `adapter` changes its weights.
        `lean`: if this is what imports PyTorch, leave out what replies do without (`engine.lean`).

        Raises CheckpointError for damaged folders, UsageError for a device or context that can't be had, or an
        adapter of another model.
        """
        if threads is not None and not 1 <= threads <= MOST:
            raise UsageError(f"threads must be 1 to {MOST}, got {threads}")
        about = manifest.check(folder)
        config, quantization = model_folder.read_config(folder)
        most = config.max_context
        if context is not None and not 16 <= context <= most:
            raise UsageError(f"the context must be 16 to {most} tokens for {folder.name}, got {context}")
        wait_politely()
        ahead.link_torch()
        tokenizer = Tokenizer.load(folder)
        chat = ChatFormat.load(folder, tokenizer)
        import_torch(lean=lean)
        import torch

        from engine import checkpoint, kernels

        if threads is not None:
            torch.set_num_threads(threads)
        where = kernels.resolve_device(device)
        kernel = kernels.choose(where)
        tensors, changed = _weights(folder, about, quantization, adapter)
        model = checkpoint.build(config, quantization, tensors, kernel, where)
        session = cls(folder.name, model, tokenizer, chat, kernel, where)
        session.identity = "/".join((about.identity, kernel.name, *changed))
        session.context = context or most
        # Merged when it was converted, or now: an adapter of ours fits its plain base alone.
        session.probes = shipped.probes("".join(changed) or (about.adapter.sha256 if about.adapter else ""))
        return session

    def fork(self) -> Self:
        """Another session on the same weights with a KV cache of its own; still one thread at a time for both."""
        from engine.held import Held

        other = copy.copy(self)
        other._held = Held(self.config, self._held.cache.dtype, self._held.cache.device)
        return other

    def close(self) -> None:
        """Let go of the weights and the cache, once; closing it again does nothing."""
        for name in ("_model", "_held", "_glances"):
            self.__dict__.pop(name, None)

    @property
    def memory_bytes(self) -> int:
        """Weights and KV cache in memory, as computed from their sizes."""
        return self.config.num_parameters + self._held.cache.nbytes

    def count_messages(self, messages: Sequence[Message]) -> int:
        """How many tokens a conversation is, with everything that the chat format adds."""
        return len(self._chat.encode(messages))

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The prompt as the model gets it, control tokens shown by name."""
        return with_controls(self._tokenizer, self._chat.encode(messages))

    def stream(
        self,
        messages: Sequence[Message],
        sampling: SamplingConfig,
        *,
        continue_last: bool = False,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[Chunk, None, None]:
        """The assistant's next message, as an iterator of chunks. Closing it stops within one token.

        `continue_last`: go on with the last message, which is the assistant's, instead of answering it.
        `grammar`: only tokens that it allows are drawn; the reply is complete if it ends with `stop`.
        `enough`: told the reply's text so far after each piece; when it says so, the reply ends.
        Raises InputTooLong if the conversation leaves no room for a token.
        """
        prompt = self._chat.encode(messages, continue_last=continue_last)
        if grammar is None:
            stops, strip = self._chat.stop_strings, not self.is_chat and not continue_last
            return self._begin(
                prompt, sampling, enough=enough, continuing=continue_last, strip=strip, stop_strings=stops
            )
        if sampling.stop:
            raise UsageError("a stop string could cut what has a schema", hint="leave --stop or --schema out")
        constraint = self._vocabulary.constraint(grammar)
        return self._begin(prompt, sampling, enough=enough, continuing=continue_last, constraint=constraint)

    def complete(self, text: str, sampling: SamplingConfig) -> Generator[Chunk, None, None]:
        """What comes after a text, with no chat format around it."""
        return self._begin([*self._tokenizer.beginning, *self._tokenizer.encode(text)], sampling, continuing=True)

    def _begin(
        self,
        prompt: Sequence[int],
        sampling: SamplingConfig,
        *,
        continuing: bool,
        enough: Callable[[str], bool] | None = None,
        strip: bool = False,
        stop_strings: tuple[str, ...] = (),
        constraint: Constraint | None = None,
    ) -> Generation:
        """A reply to a prompt, of which nothing is computed yet. Raises UsageError for an empty prompt, InputTooLong if
        it leaves no room."""
        if not prompt:
            raise UsageError("there is nothing to continue: the prompt is empty")
        if len(prompt) >= self.context:
            raise InputTooLong(
                f"the prompt has {len(prompt)} tokens, the context is {self.context}",
                hint="Shorten it, or raise --ctx if the model allows.",
            )
        from engine.generation import Generation
        from engine.reply import Reply
        from engine.sampling import Sampler

        reply = Reply(
            self._tokenizer.stream(continuing=continuing),
            stop_strings=(*sampling.stop, *stop_strings),
            stop_ids=self._chat.stop_ids,
            room=min(sampling.max_tokens, self.context - len(prompt)),
            strip=strip,
            prompt_tokens=len(prompt),
            constraint=constraint,
            enough=enough,
        )
        stop_ids = self._chat.stop_ids
        sampler = Sampler(sampling, constraint, stop_ids)
        return Generation(self._model, self._held, prompt, reply, sampler, stop_ids)

    def stream_many(
        self,
        conversations: Iterable[Sequence[Message]],
        sampling: SamplingConfig,
        *,
        together: int = TOGETHER,
        grammar: Grammar | None = None,
        enough: Callable[[str], bool] | None = None,
    ) -> Generator[tuple[int, Chunk | InputTooLong | OutputError], None, None]:
        """The next message of each conversation, up to `together` of them decoded in step, each held to the grammar.

        Yields chunks with the index of their conversation, which is taken from `conversations` when a row is free.
        One that does not fit gives an InputTooLong in place of chunks; one that can't follow the grammar ends with an
        OutputError, and the others go on. Closing stops all within a step.
        """
        from engine.many import stream_together

        def begun(messages: Sequence[Message]) -> Generation | InputTooLong:
            try:
                # Of the class: whoever listens to this session's `stream` hears each conversation of many once.
                reply = Session.stream(self, messages, sampling, grammar=grammar, enough=enough)
                return cast("Generation", reply)
            except InputTooLong as error:
                return error

        yield from stream_together(self.rows(together), map(begun, conversations))

    def rows(self, most: int) -> Together:
        """Room for so many replies that decode in step."""
        from engine.batch import Together
        from engine.row_cache import RowCache

        cache = self._held.cache
        return Together(self._model, RowCache(self.config, most, dtype=cache.dtype, device=cache.device), most)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        from engine.structure import Vocabulary

        return Vocabulary(self._tokenizer, self._chat.stop_ids)

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[list[float]]:
        """Log-probability of each token of each continuation as the assistant's reply.

        The prompt is computed once for all, and labels of one token cost nothing more. Raises InputTooLong if the
        longest does not fit.
        """
        start = self._reply_start(messages)
        encoded = [self._tokenizer.encode(start + text) for text in continuations]
        return self._score(self._chat.encode(messages), encoded)

    def score_ids(self, ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """As `score`, for tokens (of `pieces`) after those of a text, with no chat format around them."""
        return self._score([*self._tokenizer.beginning, *ids], continuations)

    def _score(self, prompt: list[int], encoded: Sequence[Sequence[int]]) -> list[list[float]]:
        from engine.generate import score_all
        from engine.many import too_long

        longest = len(prompt) + max((len(ids) for ids in encoded), default=0)
        if longest > self.context:
            raise too_long(longest, self.context)
        self._held.keep(prompt)
        rows = score_all(self._model, self._held.cache, prompt, encoded)
        self._held.ids = prompt[: self._held.cache.length]
        return rows

    def score_many(
        self, conversations: Sequence[Sequence[Message]], continuations: Sequence[str]
    ) -> Generator[list[list[float]] | InputTooLong, None, None]:
        """`score` for each conversation, in order, several of them in one pass; what they begin with is computed once.

        A conversation that does not fit gives the InputTooLong that `score` would raise. Closing stops between passes.
        """
        from engine.many import score_together

        starts = (self._reply_start(messages) for messages in conversations)
        prompts = self._chat.encode_many(conversations)
        # What stands before the reply depends on the language: who follows in the same one goes on in the same pass.
        for start, run in itertools.groupby(zip(starts, prompts, strict=True), key=itemgetter(0)):
            encoded = [self._tokenizer.encode(start + text) for text in continuations]
            yield from score_together(self._model, self._held, [prompt for _, prompt in run], encoded, self.context)

    def glance_many(
        self, name: str, conversations: Sequence[Sequence[Message]]
    ) -> Generator[list[float | None], None, None]:
        """For each conversation, in order and some of them at a time, the log odds of the first answer to one of
        `probes`; None for one that is not asked in its words, or is long.

        Raises CheckpointError for a damaged probe. Closing stops between passes.
        """
        prompts = self._chat.encode_many(conversations)
        prompts = [prompt if len(prompt) <= self.context else [] for prompt in prompts]
        from engine.probe import load

        if name not in self._glances:
            self._glances[name] = self.glance(load(self.probes[name], name))
        return self._glances[name].log_odds(prompts)

    def glance(self, probe: Probe) -> Glance:
        """What a probe, learnt over this model, sees. Raises CheckpointError for one of another shape."""
        from engine.probe import Glance

        return Glance(self._model, probe, self._held.cache.dtype, self._held.cache.device)

    def _reply_start(self, messages: Sequence[Message]) -> str:
        """What stands between the prompt and a reply that is scored."""
        return "" if self.is_chat else transcript.reply_start(messages)

    def next_tokens(
        self, messages: Sequence[Message], count: int, *, continue_last: bool = False
    ) -> list[tuple[str, float]]:
        """The likeliest next tokens of the assistant's message, as text with probability; empty text is its end.

        `continue_last`: after what the last message says so far. Raises InputTooLong.
        """
        logits = self._logits(self._chat.encode(messages, continue_last=continue_last))
        best = logits.softmax(0).topk(count)
        stops = self._chat.stop_ids
        return [
            ("" if id_ in stops else self._tokenizer.decode([id_], continuing=True), probability)
            for id_, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _logits(self, prompt: Sequence[int]) -> Tensor:
        """(V,) after a prompt. Raises InputTooLong."""
        from engine.generate import last_logits
        from engine.many import too_long

        if len(prompt) >= self.context:
            raise too_long(len(prompt) + 1, self.context)
        return last_logits(self._model, self._held.read_all(self._model, prompt)).float()

    def embed(self, texts: Sequence[str]) -> NDArray[float32]:
        """(N, C) vectors of length 1, one a text however long; the scalar product of two says how near they are."""
        return next(found for found in self.embedding(texts) if found is not None)

    def embedding(self, texts: Sequence[str]) -> Generator[NDArray[float32] | None, None, None]:
        """As `embed`, some 500 tokens at a step: None until all are done, then the vectors."""
        from engine.embedding import embedding

        start = self._tokenizer.beginning or self._tokenizer.encode("\n")
        rows = [self._tokenizer.encode(text) for text in texts]
        return (None if found is None else found.numpy() for found in embedding(self._model, rows, start))


def _weights(
    folder: Path, about: Manifest, quantization: QuantizationConfig, adapter: Path | None
) -> tuple[dict[str, Tensor], list[str]]:
    """A model folder's tensors, and the sha256 of the adapter that changed them, if one did."""
    from engine import adapter as adapters
    from engine import checkpoint

    tensors = checkpoint.map_tensors(folder / checkpoint.WEIGHTS_FILE)
    checkpoint.lay_out(tensors)
    if adapter is None:
        return tensors, []
    change = adapters.load(adapter)
    adapters.require_fit(change, about, quantization.smoothing)
    return adapters.merged(tensors, change), [change.sha256]
