"""Published weights: our float logits are the reference library's, and int8 costs what it is said to cost at most."""

from __future__ import annotations

import copy
import gc
import math
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch

from engine import checkpoint, kernels, texts
from engine.config import LINEAR_KINDS, SamplingConfig
from engine.convert.float_model import float_decoder
from engine.convert.gguf import GgufSource, reader
from engine.fused import FusedDecoder
from engine.kernels.native import NativeKernel
from engine.kv_cache import KVCache
from engine.model_folder import read_config
from engine.schema import Message
from engine.session import Session
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.model import Decoder

pytestmark = [pytest.mark.weights, pytest.mark.timeout(900)]
CPU = torch.device("cpu")
TEXTS = {
    "en": "The museum opens at nine. Visitors who come early can see the restorers at work: they clean one square "
    "centimetre an hour, and a large painting takes years. def area(r):\n    return 3.14159 * r ** 2\n",
    "zh": "人工智能正在改变人们处理文字的方式：它可以总结长篇报告，回答问题，也可以判断一条评论是称赞还是抱怨。"
    "2026年，很多手机都能离线运行语言模型。",
}
KL_BOUND = 0.02
PERPLEXITY_BOUND = 0.01
TOKENS = 1024


@pytest.fixture(autouse=True)
def _all_cores() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(threads)
    gc.collect()


def ids_of(folder: Path, text: str) -> list[int]:
    tokenizer = Tokenizer.load(folder)
    return tokenizer.beginning + tokenizer.encode(text)


@dataclass(frozen=True)
class Published:
    """A model of the catalog, the file that it was converted from, and that file's float weights."""

    name: str
    folder: Path
    path: Path
    model: Decoder


@pytest.fixture(scope="module")
def published(request: pytest.FixtureRequest) -> Published:
    folder, path = (request.getfixturevalue(f"{request.param}_{kind}") for kind in ("model", "source"))
    return Published(request.param, folder, path, float_decoder(GgufSource(path)))


@torch.inference_mode()
def our_logits(model: Decoder, rows: list[list[int]]) -> list[torch.Tensor]:
    return [model.logits(model(torch.tensor([ids])))[0] for ids in rows]


@torch.inference_mode()
def reference_logits(path: Path, rows: list[list[int]]) -> list[torch.Tensor]:
    import gguf
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with pytest.MonkeyPatch.context() as patch:
        # Both only for their time: it reads the file twice, and names the tensors anew for each module.
        patch.setattr(gguf, "GGUFReader", reader())
        patch.setattr(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map))
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True
        )
    return [model(torch.tensor([ids])).logits[0] for ids in rows]


@pytest.mark.parametrize("published", ["smol", "gemma"], indirect=True)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_published_weights_give_the_logits_of_the_reference(published: Published) -> None:
    """Both in float32: sums in another order move a logit by far less than a thousandth of their spread."""
    rows = [ids_of(published.folder, text) for text in TEXTS.values()]
    ours = our_logits(published.model, rows)
    for found, expected in zip(ours, reference_logits(published.path, rows), strict=True):
        spread = float(expected.std())
        assert spread > 1
        assert float((found - expected).abs().max()) < 1e-3 * spread, published.name
        assert torch.equal(found.argmax(-1), expected.argmax(-1))


@torch.inference_mode()
def log_odds(model: Decoder, ids: list[int], cache: KVCache | None) -> Iterator[torch.Tensor]:
    """Log-probabilities (T, V) of all next tokens, a few positions at a time."""
    hidden = model(torch.tensor([ids]), cache)[0, :-1]
    for part in hidden.split(64):
        yield model.logits(part).float().log_softmax(-1)


def losses(reference: Decoder, quantized: Decoder, ids: list[int]) -> tuple[float, float, float]:
    """Mean divergence of int8 from float, and both perplexities, over the next token of each position."""
    cache = KVCache(quantized.config, dtype=kernels.cache_dtype(CPU))
    following = torch.tensor(ids[1:]).split(64)
    divergence = float_loss = int8_loss = 0.0
    both = zip(log_odds(reference, ids, None), log_odds(quantized, ids, cache), following, strict=True)
    for p, q, next_ids in both:
        divergence += float((p.exp() * (p - q)).sum())
        float_loss -= float(p.gather(1, next_ids[:, None]).sum())
        int8_loss -= float(q.gather(1, next_ids[:, None]).sum())
    count = len(ids) - 1
    return divergence / count, math.exp(float_loss / count), math.exp(int8_loss / count)


@pytest.mark.parametrize("published", ["default", "gemma", "smol"], indirect=True)
def test_int8_costs_little_of_the_float_model(published: Published) -> None:
    quantized = checkpoint.load(published.folder, kernels.choose(CPU), CPU)
    for language in ("en", "zh"):
        ids = ids_of(published.folder, texts.read("evaluation", language))[:TOKENS]
        divergence, float_perplexity, int8_perplexity = losses(published.model, quantized, ids)
        perplexities = f"{float_perplexity:.2f} -> {int8_perplexity:.2f}"
        told = f"{published.name} {language}: KL {divergence:.4f}, perplexity {perplexities}"
        print(told)  # noqa: T201 - shown with -s, and where it fails
        assert divergence <= KL_BOUND, told
        # Less than the float model's is no loss; how far it is from it, the divergence says.
        assert int8_perplexity / float_perplexity - 1 <= PERPLEXITY_BOUND, told


@pytest.mark.skipif(bool(NativeKernel().unavailable(CPU)), reason="the native library is not here")
@torch.inference_mode()
def test_gemma_s_one_and_two_digits_are_in_native_code_what_they_are_in_pytorch(gemma_model: Path) -> None:
    """Real outliers and smoothing, which toys do not have. Without the second digit of `qkv`, `out` or `down`
    the Chinese text is at 0.0023 to 0.0051, with them at 0.0007."""
    _, recipe = read_config(gemma_model)
    assert {recipe.digits(kind) for kind in LINEAR_KINDS} == {1, 2}
    assert recipe.smoothing
    model = checkpoint.load(gemma_model, NativeKernel(), CPU)
    assert isinstance(model, FusedDecoder)
    twin = copy.copy(model)
    twin._native = None
    for language, text in TEXTS.items():
        ids = ids_of(gemma_model, text)[:40]
        found, expected = (in_pieces(one, ids, [24] + [1] * (len(ids) - 24)) for one in (model, twin))
        divergence = float((expected.exp() * (expected - found)).sum(-1).mean())
        assert not torch.equal(found, expected), "the twin is no other code"
        assert divergence < 0.002, f"{language}: {divergence:.4f}"


def in_pieces(model: Decoder, ids: list[int], sizes: list[int]) -> torch.Tensor:
    """Log-probabilities (T, V) of tokens that are read in pieces of these sizes."""
    cache, rows = KVCache(model.config, dtype=kernels.cache_dtype(CPU)), []
    for piece in torch.tensor(ids).split(sizes):
        rows.append(model.logits(model(piece[None], cache))[0])
    return torch.cat(rows).log_softmax(-1)


def test_the_default_model_answers_a_chinese_question_in_chinese(default_model: Path) -> None:
    session = Session.open(default_model, device="cpu")
    question = [Message("user", "什么是人工智能？")]
    text = "".join(chunk.text for chunk in session.stream(question, SamplingConfig(max_tokens=48)))
    session.close()
    han = sum("\u4e00" <= character <= "\u9fff" for character in text)
    assert "人工智能" in text
    assert han > 0.7 * len(text), text


def test_the_default_model_answers_an_english_question_in_english(default_model: Path) -> None:
    session = Session.open(default_model, device="cpu")
    chunks = list(session.stream([Message("user", "What is the capital of France?")], SamplingConfig(max_tokens=48)))
    session.close()
    assert "Paris" in "".join(chunk.text for chunk in chunks)
    assert chunks[-1].finish_reason == "stop"
