"""What `llm models show` says of a model or an adapter: names and values, in the order in which they are printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.schema import LanguageQuality, ModelSummary
from tui.cli.progress import size

Facts = list[tuple[str, str]]
TERMS_SHOWN = 12
"""Lines of an adapter's licences."""


def millions(count: int) -> str:
    """A count of parameters for people."""
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"


def of_model(summary: ModelSummary, *, default: bool) -> Facts:
    """Of an installed model; `default`: whether it is the one that is used where none is named."""
    facts = [
        ("name", summary.name + (" (default)" if default else "")),
        ("family", summary.family),
        ("parameters", f"{summary.parameters:,} ({millions(summary.parameters)})"),
        ("on disk", f"{size(summary.bytes_on_disk)}, int8 weights"),
        ("context", f"{summary.context:,} tokens"),
        ("template", "its own" if summary.chat else "none: a base model, prompted with transcripts"),
        ("licence", " ".join(filter(None, (summary.licence or "not stated", summary.licence_url)))),
        ("source", summary.source),
        ("sha256", summary.sha256 or "(of several files, in its manifest)"),
        ("notices", ", ".join(summary.notices) or "none"),
        ("path", summary.path),
        *_merged(summary),
    ]
    facts += [(f"int8 {language}", _cost(quality)) for language, quality in summary.quality.items()]
    return [*facts, ("measured on", summary.kernel)] if summary.kernel else facts


def _cost(quality: LanguageQuality) -> str:
    """What int8 weights changed in one language."""
    change = quality.perplexity_int8 / quality.perplexity_float - 1
    return (
        f"perplexity {quality.perplexity_int8:.3f} (float {quality.perplexity_float:.3f}, {change:+.2%}), "
        f"KL {quality.kl:.4f}, same top token {quality.same_top_token:.1%}, {quality.tokens} tokens"
    )


def _merged(summary: ModelSummary) -> Facts:
    """What is said of the adapter in a model's weights."""
    if not (adapter := summary.adapter):
        return []
    return [
        ("adapter", f"{adapter.name}, sha256 {adapter.sha256}"),
        ("its base", f"sha256 {adapter.base}"),
        *_terms(adapter.licences),
    ]


def _terms(licences: Sequence[str]) -> Facts:
    """Licences and attributions of an adapter's data: the first lines, and how many more there are."""
    if not licences:
        return [("its terms", "not stated")]
    lines = [("its terms" if at == 0 else "", line) for at, line in enumerate(licences[:TERMS_SHOWN])]
    if (more := len(licences) - TERMS_SHOWN) > 0:
        lines.append(("", f"… {more} more lines: --json has all"))
    return lines


def of_adapter(path: Path, info: dict[str, Any]) -> Facts:
    """Of an adapter's file, by what its header says."""
    training, losses = info.get("training", {}), info.get("held_out_losses", [])
    files = info.get("files", [])
    return [
        ("adapter", f"{path} ({size(path.stat().st_size)})"),
        ("base", f"{info.get('base_name', 'not stated')}, {info.get('base_licence') or 'licence not stated'}"),
        ("base sha256", info["base"]),
        ("rank", f"{info['rank']}, scaled by {info['scale']:g}"),
        ("training", ", ".join(f"{name} {_plain(value)}" for name, value in training.items()) or "not stated"),
        ("seen", f"{info.get('rows', '?')} rows, {info.get('steps', '?')} steps"),
        ("held-out", " → ".join(f"{loss:.4f}" for _, loss in losses) or "not measured"),
        ("turns", json.dumps(info.get("turns", "not stated"), ensure_ascii=False)),
        *((f"data {n}", f"{file['name']}, {file['rows']} rows, {file['sha256']}") for n, file in enumerate(files, 1)),
        *_terms(info.get("licences", [])),
    ]


def _plain(value: Any) -> str:
    return "+".join(value) if isinstance(value, list) else str(value)
