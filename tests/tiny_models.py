"""What the tests of fetching and of the library share: tiny files, wheels and a converter that only copies."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import engine
from engine.catalog import CatalogEntry, Licence, PackageFile
from engine.config import ModelConfig
from engine.schema import Conversion, LanguageQuality, Progress, ProgressCallback, Provenance

ROOT = Path(engine.__file__).parent.parent
CONFIG = ModelConfig(
    vocab_size=32, hidden_size=8, intermediate_size=16, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=4,
    max_context=128, family="toy",
)  # fmt: skip
QUALITY = LanguageQuality(tokens=10, perplexity_float=5.0, perplexity_int8=5.01, kl=0.001, same_top_token=0.99)


def some_bytes(count: int, seed: int = 0) -> bytes:
    return b"GGUF" + random.Random(seed).randbytes(count - 4)


def entry_of(data: bytes, pieces: int = 2, **changes: Any) -> CatalogEntry:
    """A catalog entry for a file that lies on a hub as acme/tiny and in the wheels of `write_wheels`."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "repo": "acme/tiny",
        "file": "tiny.gguf",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": Licence("Apache-2.0", "Apache License 2.0", "https://example.org/licence"),
        "en": "tiny",
        "zh": "小",
        "parts": tuple(PackageFile(f"tiny-part{i}", "1.0", f"*/data/part{i:02d}.bin") for i in range(1, pieces + 1)),
        "notices": (PackageFile("tiny-part1", "1.0", "*.dist-info/LICENSE"),),
    }
    return CatalogEntry(**(fields | changes))


def write_wheels(folder: Path, data: bytes, pieces: int = 2) -> None:
    """Cuts `data` into wheels tiny_part1, tiny_part2, …"""
    folder.mkdir(exist_ok=True)
    step = -(-len(data) // pieces)
    for i in range(1, pieces + 1):
        write_wheel(folder, i, data[(i - 1) * step : i * step])


def write_wheel(folder: Path, number: int, data: bytes) -> Path:
    module = f"tiny_part{number}"
    info = f"{module}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{module}/data/part{number:02d}.bin", data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/LICENSE", "You may.\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def index_environment(wheels: Path) -> dict[str, str]:
    """Settings of the package client under which a folder of wheels is the whole index."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}


def install(source: Path, target: Path, provenance: Provenance, progress: ProgressCallback) -> Conversion:
    """A converter that writes the shape of a model's folder, with the source's bytes for weights."""
    target.mkdir()
    progress(Progress("convert", 1, 2, provenance.name))
    (target / "config.json").write_text(json.dumps({"format": 1, "model": CONFIG.to_json(), "quantization": {}}))
    weights = source if source.is_file() else source / "model.safetensors"
    shutil.copyfile(weights, target / "model.safetensors")
    (target / "tokenizer.model").write_bytes(b"pieces")
    (target / "tokenizer_config.json").write_text("{}")
    (target / "chat_template.jinja").write_text("{{ messages }}")
    return Conversion(quality={"en": QUALITY, "zh": QUALITY}, kernel="toy")


def start(code: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """A Python process of our own that runs `code`, with this repository and the tests importable."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str], seconds: float = 60) -> str:
    """What the child printed; fails with its stderr if it failed."""
    output, errors = child.communicate(timeout=seconds)
    assert child.returncode == 0, errors
    return output
