"""Texts and small vocabularies that the tokenizer's tests share; everything is made here, the same each time."""

from __future__ import annotations

import functools
import json
import pydoc_data.topics
import random
import unicodedata
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

_CHINESE = """
清晨的菜市场总是最热闹的地方。卖豆腐的老人把木板擦得发亮，旁边的年轻人一边称土豆，一边用手机回复顾客的消息。
人工智能正在改变人们处理文字的方式：它可以总结长篇报告，回答问题，也可以判断一条评论是称赞还是抱怨。
这家旅馆离车站只有三百米，房间干净，早餐有热粥和油条；可惜隔壁施工，夜里十一点还能听见电钻的声音。
水稻原产于长江中下游，距今约一万年前已有人栽培。考古学家在遗址中发现了炭化的稻谷、骨制的农具和储存粮食的地窖。
“你看过那部电影吗？”她问。“看过两遍，”他说，“第一遍没看懂，第二遍看哭了。”窗外下着小雨，街灯一盏接一盏亮起来。
"""


@functools.cache
def corpus() -> dict[str, str]:
    """English prose, code, Chinese and emoji: a good megabyte together."""
    english = "\n\n".join(text for _, text in sorted(pydoc_data.topics.topics.items()))
    library = Path(json.__file__).parent.parent
    files = ("argparse.py", "typing.py", "datetime.py", "tarfile.py", "json/decoder.py", "email/message.py")
    code = "\n".join((library / name).read_text(encoding="utf-8") for name in files if (library / name).exists())
    return {"english": english[:500_000], "code": code[:250_000], "chinese": _chinese(), "emoji": _emoji()}


def _chinese() -> str:
    """Sentences recombined, and every character of GB 2312 in an order without sense."""
    draw = random.Random(7)
    clauses = [clause for line in _CHINESE.split() for clause in line.replace("。", "，").split("，") if clause]
    sentences = ["，".join(draw.sample(clauses, 3)) + draw.choice("。！？；") for _ in range(2_500)]
    rows = [bytes([row, cell]) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF)]
    hanzi = [pair.decode("gb2312", "ignore") for pair in rows]
    draw.shuffle(hanzi)
    return "\n".join(sentences) + "".join(hanzi)


def _emoji() -> str:
    ranges = ((0x1F300, 0x1F650), (0x1F680, 0x1F6FD), (0x1F900, 0x1FA00), (0x2600, 0x27C0))
    single = [chr(c) for first, last in ranges for c in range(first, last) if unicodedata.category(chr(c)) != "Cn"]
    joined = ["\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e8\U0001f1f3", "\U0001f44d\U0001f3fd", "❤️"]
    return " ".join(single) + "".join(single) + " ".join(joined * 20)


def all_characters() -> list[str]:
    """Every assigned character of the planes in use, in rows of 400."""
    known = [chr(c) for c in range(0x32000) if unicodedata.category(chr(c)) not in {"Cn", "Cs"}]
    return ["".join(known[i : i + 400]) for i in range(0, len(known), 400)]


@functools.cache
def byte_level(kind: str) -> tokenizers.Tokenizer:
    """A byte-level BPE of the `qwen`, `llama3` or `smollm` way of cutting, trained on the corpus."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "smollm")
    first: Any = pre_tokenizers.Digits(individual_digits=True)
    if kind != "smollm":
        first = pre_tokenizers.Split(tokenizers.Regex(QWEN if kind == "qwen" else LLAMA_3), "isolated")
    if kind == "qwen":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, last])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=4_000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text[:200_000] for text in corpus().values()], trainer)
    tokenizer.add_special_tokens(CONTROL)
    tokenizer.add_tokens(["<tool_call>"])
    return tokenizer


def save(tokenizer: tokenizers.Tokenizer, folder: Path, **settings: Any) -> Path:
    """A Hugging Face folder with this tokenizer."""
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def gguf_fields(tokenizer: tokenizers.Tokenizer, pre: str) -> dict[str, Any]:
    """The same vocabulary as a GGUF file holds it, with two rows of padding at the end."""
    data = json.loads(tokenizer.to_str())
    added = {entry["id"]: 3 if entry["special"] else 4 for entry in data["added_tokens"]}
    names = {i: name for name, i in tokenizer.get_vocab(with_added_tokens=True).items()}
    size = len(names)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [names[i] for i in range(size)] + ["[PAD1]", "[PAD2]"],
        "tokenizer.ggml.token_type": [added.get(i, 1) for i in range(size)] + [5, 5],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in data["model"]["merges"]],
        "tokenizer.ggml.eos_token_id": tokenizer.token_to_id("<|im_end|>"),
    }


def without_special(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    """The reference's ids of a text that holds no special token."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
