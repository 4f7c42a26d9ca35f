"""An answer on its way out: streamed raw or as Markdown, or whole, or as JSON, or into a file; then its figures."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.schema import Chunk, FinishReason
from tui.cli.console import Console, counted
from tui.cli.interrupt import Stopper
from tui.cli.keys import held_keys
from tui.cli.options import Options
from tui.paths import write_output

LOOPED = "ended: it said the same again and again (llm config set end_loops false lets it)"


@dataclass
class Result:
    """What came of one generation. Times are in seconds."""

    text: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    finish_reason: FinishReason = "stop"
    duration: float = 0.0
    first_token: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    interrupted: bool = False
    timed_out: bool = False
    ids: list[int] = field(default_factory=list, repr=False)
    logprobs: list[float] = field(default_factory=list, repr=False)

    @property
    def mean_logprob(self) -> float | None:
        """Mean natural log-probability of the tokens; None without any."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None

    def add(self, chunk: Chunk, elapsed: float) -> None:
        """Take in one more piece, `elapsed` seconds after the start."""
        if (chunk.ids or chunk.text) and not self.first_token:
            self.first_token = elapsed
        self.text += chunk.text
        self.ids += chunk.ids
        self.logprobs += chunk.logprobs
        self.prompt_tokens = chunk.prompt_tokens or self.prompt_tokens
        self.cached_tokens = chunk.cached_tokens or self.cached_tokens
        self.output_tokens = chunk.output_tokens or self.output_tokens
        self.prefill = chunk.prefill_seconds or self.prefill
        self.decode = chunk.decode_seconds or self.decode
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.duration = elapsed

    def to_json(self, model: str) -> dict[str, Any]:
        """The stable keys of `--json`."""
        mean = self.mean_logprob
        return {
            "id": uuid.uuid4().hex[:16],
            "model": model,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "finish_reason": self.finish_reason,
            "duration_ms": round(self.duration * 1000),
            "ttft_ms": round(self.first_token * 1000),
            "text": self.text,
            "mean_logprob": None if mean is None else round(mean, 4),
        }

    def stats(self, model: str, place: str) -> str:
        """The line of `--stats`."""
        read = self.prompt_tokens - self.cached_tokens
        parts = [f"{model} on {place}", f"prompt {self.prompt_tokens} tok"]
        if self.cached_tokens:
            parts[-1] += f" ({self.cached_tokens} cached)"
        if self.prefill > 0:
            parts[-1] += f" at {read / self.prefill:.1f} tok/s"
        parts.append(f"output {self.output_tokens} tok")
        if self.decode > 0 and self.output_tokens > 1:
            parts[-1] += f" at {(self.output_tokens - 1) / self.decode:.1f} tok/s"
        parts += [f"first token {self.first_token:.2f} s", f"total {self.duration:.2f} s", self.finish_reason]
        return " · ".join(parts)


def place_of(session: Any) -> str:
    """Where a session computes and with what, as people and `--json` are told: `cpu/x86`."""
    return f"{session.device}/{session.kernel}"


def show_prompt(console: Console, options: Options, session: Any, prompt: str, tokens: int) -> None:
    """What `--dry-run` prints in place of an answer: the prompt, and how much of the context it takes."""
    if options.json:
        print_json(console, {"model": session.name, "prompt_tokens": tokens, "prompt": prompt})
    else:
        console.line(prompt)
        console.note(f"{tokens} of {session.context} tokens")


def collect(
    chunks: Iterable[Any],
    write: Callable[[str], object],
    *,
    timeout: float | None = None,
    on_event: Callable[[Any], object] | None = None,
    result: Result | None = None,
) -> Result:
    """Drain a stream into `write` until its end, Ctrl-C or the time limit; what is no Chunk goes to `on_event`.

    A second Ctrl-C, or one before the first token, raises KeyboardInterrupt; `result` then holds what came so far.
    """
    result = Result() if result is None else result
    started = time.monotonic()
    with Stopper() as stopper, contextlib.closing(_as_generator(chunks)) as stream:
        for event in stream:
            if not isinstance(event, Chunk):
                if on_event:
                    on_event(event)
                continue
            elapsed = time.monotonic() - started
            result.add(event, elapsed)
            stopper.armed = stopper.armed or bool(event.ids or event.text)
            if event.text:
                write(event.text)
            result.interrupted = stopper.stopped
            result.timed_out = timeout is not None and elapsed >= timeout and event.finish_reason is None
            if result.interrupted or result.timed_out:
                result.finish_reason = "stopped"
                break
    return result


def _as_generator(chunks: Iterable[Any]) -> Generator[Any, None, None]:
    """The stream itself where it can be closed, so that closing reaches the engine at once."""
    if hasattr(chunks, "close"):
        return chunks  # type: ignore[return-value]
    return (chunk for chunk in chunks)


class Screen:
    """Where streamed text goes: stdout, raw or as Markdown; the spinner leaves before the first character."""

    def __init__(self, console: Console, *, markdown: bool, live: bool, spinner: contextlib.ExitStack) -> None:
        self._console = console
        self._spinner = spinner
        self._last = ""
        self._markdown = None
        if markdown:
            from tui.cli.markdown import LiveMarkdown

            self._markdown = LiveMarkdown(console.write, color=console.color_out, live=live)

    def write(self, text: str) -> None:
        """The next piece of the answer."""
        self._spinner.close()
        self._last = text or self._last  # before it is written: a signal in between still ends the line
        if self._markdown:
            self._markdown.write(text)
        else:
            self._console.answer(text)

    def close(self) -> None:
        """Settle, and end with a newline."""
        self._spinner.close()
        if self._markdown:
            self._markdown.close()
        elif self._last and not self._last.endswith("\n"):
            self._console.answer("\n")


def open_screen(console: Console, options: Options, *, markdown: bool, spinner: contextlib.ExitStack) -> Screen:
    """The screen that flags, settings and stdout ask for."""
    steerable = console.stdout_is_terminal and os.environ.get("TERM") != "dumb"
    wanted = options.md or (markdown and steerable and not options.raw)
    live = steerable and not options.no_stream
    return Screen(console, markdown=wanted and not options.json, live=live, spinner=spinner)


@dataclass(frozen=True)
class Delivery:
    """How the answers of one command leave it."""

    console: Console
    options: Options
    markdown: bool = True
    """The user's setting; `--raw` and `--md` stand above it."""
    stats: bool = False

    def show(
        self,
        chunks: Iterable[Any],
        *,
        model: str,
        place: str,
        context: int | None = None,
        extra: Callable[[], dict[str, Any]] | None = None,
        on_event: Callable[[Any], object] | None = None,
        waiting: str = "reading",
    ) -> Result:
        """Bring a stream to where it belongs; `waiting` is the spinner's word, empty where a bar moves.

        `context`: where nothing else sees to it that a reply has all its room, what it may have run into.
        Raises KeyboardInterrupt after a stopped answer was printed.
        """
        options = self.options
        streaming = not (options.json or options.output or options.no_stream)
        with held_keys(), contextlib.ExitStack() as spinner:
            if waiting:
                spinner.enter_context(self.console.spinner(waiting))
            screen = open_screen(self.console, self.options, markdown=self.markdown, spinner=spinner)
            try:
                result = collect(
                    chunks, screen.write if streaming else _nowhere, timeout=options.timeout, on_event=on_event
                )
                if not streaming:
                    spinner.close()
                    self._whole(result, screen, model, extra)
            finally:
                screen.close()
        if self.stats:
            self.console.note(result.stats(model, place))
        if result.timed_out:
            self.console.warn(f"stopped after {options.timeout:g} s (--timeout)")
        elif result.finish_reason == "length" and not options.json:
            at = counted(result.output_tokens, "token")
            if context == result.prompt_tokens + result.output_tokens:
                self.console.note(f"cut at {at}: the context of {context} tokens is full")
            else:
                self.console.note(f"cut at {at}; --max-tokens gives more room")
        elif result.finish_reason == "repeated" and not options.json:
            self.console.note(LOOPED)
        if result.interrupted:
            raise KeyboardInterrupt
        return result

    def _whole(self, result: Result, screen: Screen, model: str, extra: Callable[[], dict[str, Any]] | None) -> None:
        text = result.text
        if self.options.json:
            text = json.dumps(result.to_json(model) | (extra() if extra else {}), ensure_ascii=False)
        if self.options.output and not result.interrupted:
            save(self.console, self.options.output, text)
        else:
            if self.options.output:
                self.console.warn(f"stopped: {self.options.output} was not written")
            screen.write(text)


def _nowhere(_text: str) -> None:
    """For answers that are shown when they are complete."""


def save(console: Console, path: Path, text: str) -> None:
    """Write an answer to a file, whole or not at all, and say so."""
    data = text if not text or text.endswith("\n") else text + "\n"
    write_output(path, data.encode())
    console.note(f"wrote {path}")


def print_json(console: Console, value: Any) -> None:
    """One JSON value on one line of stdout, UTF-8, not escaped."""
    console.line(json.dumps(value, ensure_ascii=False))
