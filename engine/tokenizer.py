"""Text to token ids and back: one SentencePiece model for every family.

Byte-level vocabularies (Qwen, SmolLM2, Llama 3) keep their pieces in GPT-2's printable alphabet; text is cut by the
family's expressions and its bytes are written in that alphabet before SentencePiece merges them. Ids are always the
publisher's. Text never becomes a control token: those are ids, put between runs of text by `encode_parts`.
"""

from __future__ import annotations

import codecs
import unicodedata
from typing import TYPE_CHECKING, Any, Self

from engine.errors import CheckpointError, InputError, UsageError
from engine.tokenizer_config import MODEL_FILE, TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

PLACEHOLDER = "\x01"
"""Begins the name of a piece that text must never match."""
META_SPACE = "▁"
_NATIVE_BLOCK = 65_536
_BYTE_LEVEL_BLOCK = 8_192
"""Characters given to SentencePiece at a time: small blocks stay in the processor's cache."""


def _byte_alphabet() -> str:
    """GPT-2's alphabet: printable Latin-1 characters stand for themselves, the other bytes follow from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


BYTE_ALPHABET = _byte_alphabet()
"""The character of each byte."""
_BYTE_OF = {character: byte for byte, character in enumerate(BYTE_ALPHABET)}
_BYTES = dict.fromkeys(range(0x80, 0x100), 0xFFFF) | {ord(character): byte for character, byte in _BYTE_OF.items()}
"""For `str.translate`; what is no ASCII and not in the alphabet goes where Latin-1 ends."""
# UTF-8 has no byte FF, so it can stand between chunks; a space is in no piece, so nothing merges across it.
_BETWEEN = "\udcff"
_TO_ALPHABET = BYTE_ALPHABET[:255] + " "


class Tokenizer:
    """Encodes and decodes; safe to use from several threads at once."""

    def __init__(self, model: bytes, config: TokenizerConfig) -> None:
        """`model` is a serialized ModelProto. Raises CheckpointError if it is damaged or does not fit `config`."""
        import sentencepiece

        if not model:
            raise CheckpointError("not a SentencePiece model: the file is empty")
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, ValueError, TypeError) as error:
            raise CheckpointError(f"not a SentencePiece model: {error}") from error
        self.config = config
        self._pieces: int = self._processor.vocab_size()
        self._unknown: int = self._processor.unk_id()
        if self._pieces > config.vocab_size + 1:
            raise CheckpointError(f"{self._pieces} pieces do not fit a vocabulary of {config.vocab_size}")
        self._bytes: dict[int, bytes] = {}
        self._names = {i: name for name, i in config.text_tokens.items()}
        self._control_ids = frozenset(config.control_tokens.values())
        self._splitters = [_compile(expression) for expression in config.pre_tokenizer]
        self._text_tokens = _compile(_any_of(config.text_tokens)) if config.text_tokens else None
        self._whole = {self.token_bytes(i).decode("utf-8", "surrogateescape"): i for i in config.whole_chunks}
        self._cut = _compile("|".join(_border(c) for c in config.cut_before)) if config.cut_before else None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads a model folder's tokenizer. Raises CheckpointError with the file named."""
        config = TokenizerConfig.load(folder)
        path = folder / MODEL_FILE
        try:
            return cls(path.read_bytes(), config)
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} is missing", hint="Pull or import the model again.") from error
        except (OSError, CheckpointError) as error:
            raise CheckpointError(f"{path} can't be read: {error}", hint="Pull or import the model again.") from error

    @property
    def vocab_size(self) -> int:
        """Ids run from 0 to vocab_size - 1."""
        return self.config.vocab_size

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, if the vocabulary has one."""
        return self.config.bos_id

    @property
    def beginning(self) -> list[int]:
        """What the model expects before every prompt: `bos_id`, or nothing."""
        return [self.config.bos_id] if self.config.add_bos and self.config.bos_id is not None else []

    @property
    def eos_ids(self) -> frozenset[int]:
        """Every id that ends a turn or a text."""
        return frozenset(self.config.eos_ids)

    @property
    def control_tokens(self) -> Mapping[str, int]:
        """Ids with a meaning of their own, by name; `encode` never makes them."""
        return self.config.control_tokens

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without a beginning token. Raises InputError on half a surrogate pair."""
        return self._encode_run(text, prefix=self.config.dummy_prefix in {"first", "always"})

    def encode_parts(
        self, parts: Sequence[str | int], met: dict[tuple[str, bool], list[int]] | None = None
    ) -> list[int]:
        """The ids of runs of text with control ids between them; a `first` dummy prefix only goes to parts[0].

        `met`: where the ids of runs are kept from call to call, for prompts that have most of them in common.
        """
        ids: list[int] = []
        met = {} if met is None else met
        for index, part in enumerate(parts):
            if isinstance(part, int):
                ids.append(self._known(part))
                continue
            scheme = self.config.dummy_prefix
            run = part, scheme == "always" or (scheme == "first" and index == 0)
            if run not in met:
                met[run] = self._encode_run(part, prefix=run[1])
            ids += met[run]
        return ids

    def decode(self, ids: Iterable[int], *, continuing: bool = False) -> str:
        """The text of ids; control tokens are left out and broken UTF-8 becomes U+FFFD.

        A dummy prefix at the beginning is taken away unless the text is `continuing` another one.
        """
        data = b"".join(map(self.token_bytes, ids))
        if not continuing and self.config.dummy_prefix != "none" and data.startswith(b" "):
            data = data[1:]
        return data.decode("utf-8", "replace")

    def stream(self, *, continuing: bool = False) -> StreamDecoder:
        """A decoder that takes ids one at a time; its joined output is `decode` of all of them."""
        return StreamDecoder(self, strip=not continuing and self.config.dummy_prefix != "none")

    def token_bytes(self, token: int) -> bytes:
        """What a token adds to the UTF-8 text: nothing for control tokens. Raises UsageError outside the vocabulary."""
        data = self._bytes.get(token)
        if data is None:
            data = self._bytes[token] = self._bytes_of(self._known(token))
        return data

    def all_bytes(self) -> list[bytes]:
        """`token_bytes` of every id, three times as fast as asking for one after the other."""
        size = self.config.vocab_size
        ids = list(range(min(self._pieces, size)))
        processor, native = self._processor, self.config.kind == "native"
        apart = zip(processor.is_control(ids), processor.is_byte(ids), strict=True)
        slow = {id_ for id_, marked in enumerate(apart) if any(marked)} | {*self._names, *self._control_ids}
        slow.add(self._unknown)
        found = []
        for id_, name in enumerate(processor.id_to_piece(ids)):
            piece = name.removeprefix(PLACEHOLDER)
            try:
                data = piece.replace(META_SPACE, " ").encode() if native else piece.translate(_BYTES).encode("latin-1")
            except UnicodeEncodeError:  # not in the byte alphabet
                slow.add(id_)
            found.append(self.token_bytes(id_) if id_ in slow else data)
        return [*found, *map(self.token_bytes, range(len(found), size))]

    def piece(self, token: int) -> str:
        """A token for people to read: its text with spaces as ▁, `<0xE4>` for half characters, or its name."""
        data = self.token_bytes(token)
        if data:
            return _readable(data)
        if token in self._control_ids:
            return next(name for name, i in self.config.control_tokens.items() if i == token)
        return f"[unused {token}]"

    def _known(self, token: int) -> int:
        if not 0 <= token < self.config.vocab_size:
            raise UsageError(f"token {token} is outside of the vocabulary of {self.config.vocab_size}")
        return token

    def _bytes_of(self, token: int) -> bytes:
        if token in self._names:
            return self._names[token].encode()
        if token == self._unknown:
            return "\ufffd".encode() if token == self.config.unk_id else b""
        if token >= self._pieces or token in self._control_ids or self._processor.is_control(token):
            return b""
        name: str = self._processor.id_to_piece(token).removeprefix(PLACEHOLDER)
        if self._processor.is_byte(token):
            return bytes([int(name[1:-1], 16)])
        if self.config.kind == "native":
            return name.replace(META_SPACE, " ").encode()
        return b"".join(bytes([_BYTE_OF[c]]) if c in _BYTE_OF else c.encode() for c in name)

    def _encode_run(self, text: str, *, prefix: bool) -> list[int]:
        """A run of text between control tokens."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"the text holds half a surrogate pair (U+{ord(text[error.start]):04X}) at {error.start}"
            raise InputError(message, hint="Save the text as UTF-8 and try again.") from error
        if not text:
            return []
        if prefix and not (self.config.prefix_unless_space and text.startswith((" ", META_SPACE))):
            text = " " + text
        if self.config.kind == "native":
            return [token for block in self._blocks(text) for token in self._merge(block)]
        if self.config.nfc:
            text = unicodedata.normalize("NFC", text)
        if self._text_tokens is None:
            return self._encode_bytes(text)
        ids: list[int] = []
        for index, run in enumerate(self._text_tokens.split(text)):
            ids += [self.config.text_tokens[run]] if index % 2 else self._encode_bytes(run)
        return ids

    def _merge(self, text: str) -> list[int]:
        """SentencePiece's ids; what has no piece becomes the publisher's unknown token or nothing."""
        found = self._processor.encode_as_numpy(text)
        if self.config.unk_id != self._unknown:
            found = found[found != self._unknown]
        return found.tolist()

    def _blocks(self, text: str) -> Iterator[str]:
        """Cuts a long text where no piece can reach across, so that time and memory grow with its length alone."""
        start = 0
        while self._cut is not None and len(text) - start > _NATIVE_BLOCK:
            border = self._cut.search(text, start + _NATIVE_BLOCK)
            if border is None:
                break
            yield text[start : border.start()]
            start = border.start()
        yield text[start:]

    def _encode_bytes(self, text: str) -> list[int]:
        """Byte-level: cuts into chunks and merges within each."""
        chunks = self._chunks(text)
        if not self._whole:
            return self._merge_chunks(chunks)
        ids: list[int] = []
        run: list[str] = []
        for chunk in chunks:
            whole = self._whole.get(chunk)
            if whole is None:
                run.append(chunk)
                continue
            ids += self._merge_chunks(run)
            ids.append(whole)
            run = []
        return ids + self._merge_chunks(run)

    def _chunks(self, text: str) -> list[str]:
        chunks = [text] if text else []
        for splitter in self._splitters:
            chunks = [part for chunk in chunks for part in splitter.split(chunk) if part]
        return chunks

    def _merge_chunks(self, chunks: list[str]) -> list[int]:
        """The ids of chunks, handed to SentencePiece in blocks of whole chunks."""
        data = _BETWEEN.join(chunks).encode("utf-8", "surrogateescape")
        text, _ = codecs.charmap_decode(data, "strict", _TO_ALPHABET)
        ids: list[int] = []
        start = 0
        while start < len(text):
            end = text.find(" ", start + _BYTE_LEVEL_BLOCK)
            end = len(text) if end < 0 else end
            ids += self._merge(text[start:end])
            start = end + 1
        return ids


class StreamDecoder:
    """Decodes ids as they come; half a character is held back until the rest of it arrives."""

    def __init__(self, tokenizer: Tokenizer, *, strip: bool) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strip = strip

    def push(self, token: int) -> str:
        """The text that is certain once this token is there; may be empty."""
        data = self._tokenizer.token_bytes(token)
        if self._strip and data:
            self._strip = False
            data = data[1:] if data.startswith(b" ") else data
        return self._decoder.decode(data)

    def flush(self) -> str:
        """What was held back, U+FFFD where a character stayed incomplete."""
        return self._decoder.decode(b"", final=True)


def _compile(expression: str) -> Any:
    """A compiled `(expression)`: its `split` gives gaps and matches in turn. Raises CheckpointError."""
    import regex

    try:
        compiled = regex.compile(f"({expression})")
    except regex.error as error:
        raise CheckpointError(f"the pre-tokenizer expression {expression!r} is not valid: {error}") from error
    if compiled.groups != 1:
        raise CheckpointError(f"the pre-tokenizer expression {expression!r} has groups of its own")
    return compiled


def _any_of(strings: Iterable[str]) -> str:
    """An expression for the longest of some strings."""
    import regex

    return "|".join(regex.escape(string) for string in sorted(strings, key=lambda s: (-len(s), s)))


def _border(character: str) -> str:
    """An expression for the place before a character that does not follow its like."""
    import regex

    alike = regex.escape(character) + (META_SPACE if character == " " else "")
    return f"(?<![{alike}])(?=[{alike}])"


def _readable(data: bytes) -> str:
    """Bytes as text; `<0xE4>` where they are no whole character."""
    try:
        return data.decode().replace(" ", META_SPACE)
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in data)
