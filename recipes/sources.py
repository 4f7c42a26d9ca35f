"""The training sets that may stand behind weights that ship: their rows, licences and attribution lines."""

from __future__ import annotations

import gzip
import json
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the data folder, its licence, and whom to name."""

    file: str
    licence: str
    attribution: str
    confirmed: str = "stated where the file comes from"
    """Where the licence is said."""


SOURCES = {
    "dolly": Source(
        "dolly15k.en",
        "CC BY-SA 3.0",
        "databricks-dolly-15k, Copyright (2023) Databricks, Inc.; contains passages from Wikipedia, Copyright "
        "Wikipedia editors and contributors. Changed: footnote marks removed.",
    ),
    "oasst.en": Source(
        "oasst1_validation_messages.en",
        "Apache 2.0",
        "OpenAssistant Conversations (OASST1), by the OpenAssistant contributors.",
    ),
    "oasst.zh": Source(
        "oasst1.zh",
        "Apache 2.0",
        "OpenAssistant Conversations (OASST1), by the OpenAssistant contributors.",
        "the authors' dataset card, huggingface.co/datasets/OpenAssistant/oasst1: `license: apache-2.0`",
    ),
    "kdconv": Source(
        "kdconv.zh",
        "Apache 2.0",
        "Hao Zhou et al., “KdConv: A Chinese Multi-domain Dialogue Dataset Towards Multi-turn Knowledge-driven "
        "Conversation”, ACL 2020 (thu-coai). Changed: knowledge annotations left out.",
    ),
    "cmrc": Source(
        "cmrc2018_train.zh",
        "CC BY-SA 4.0",
        "Yiming Cui et al., “A Span-Extraction Dataset for Chinese Machine Reading Comprehension”, EMNLP-IJCNLP 2019, "
        "through ExpMRC (Yiming Cui et al.); passages from Chinese Wikipedia.",
    ),
    "squad": Source(
        "squad2_train_subset.en",
        "CC BY-SA 4.0",
        "Pranav Rajpurkar, Robin Jia, Percy Liang, “Know What You Don't Know”, ACL 2018; passages from Wikipedia.",
        "the first author's dataset card, huggingface.co/datasets/rajpurkar/squad_v2: `license: cc-by-sa-4.0`",
    ),
    "scitldr": Source(
        "scitldr_train.en",
        "Apache 2.0",
        "Isabel Cachola, Kyle Lo, Arman Cohan, Daniel S. Weld, “TLDR: Extreme Summarization of Scientific "
        "Documents”, 2020.",
    ),
    "csl": Source(
        "csl_dev_titles.zh",
        "Apache 2.0",
        "Yudong Li et al., “CSL: A Large-scale Chinese Scientific Literature Dataset”, COLING 2022.",
    ),
    "tatoeba": Source(
        "tatoeba.en-zh",
        "CC BY 2.0 FR",
        "sentence pairs from tatoeba.org, each contributor named in the list below.",
        "stated on each line",
    ),
    "uci": Source(
        "uci_sentences.en",
        "CC BY 4.0",
        "Dimitrios Kotzias et al., “From Group to Individual Labels using Deep Features”, KDD 2015; Sentiment Labelled "
        "Sentences, UCI Machine Learning Repository, doi.org/10.24432/C57604.",
        "the repository's donation policy, archive-beta.ics.uci.edu/donation: what it holds is licensed under CC BY "
        "4.0; so do those quote the set's page who use it",
    ),
    "sms": Source(
        "sms_spam_train.en",
        "CC BY 4.0",
        "Tiago A. Almeida and José María Gómez Hidalgo, SMS Spam Collection, UCI Machine Learning Repository, "
        "doi.org/10.24432/C5CC84.",
        "the repository's donation policy, archive-beta.ics.uci.edu/donation; the second author's announcement, "
        "jmgomezhidalgo.blogspot.com, June 2011: “free for all purposes”",
    ),
}
"""By the names that the recipe uses. Left out is every set that is not cleared."""


def rows(data: Path, name: str) -> list[Row]:
    """All rows of a set, in the order of the file. Raises InputError for a missing or broken file."""
    path = data / "sft" / f"{SOURCES[name].file}.jsonl.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} can't be read: {error}", hint="expected gzipped JSONL, one row a line") from error


@lru_cache(maxsize=1 << 17)  # most texts are met several times: as a turn, as a passage, and in a later round
def plain(text: str) -> str:
    """Letters and digits alone, in one case and width: what two texts are compared by."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def distinct(all_rows: Iterable[Row], *fields: str) -> Iterator[Row]:
    """The first row of those that say the same in any one of the fields."""
    seen: set[tuple[str, str]] = set()
    for row in all_rows:
        keys = {(field, plain(row[field])) for field in fields}
        if not keys & seen:
            seen |= keys
            yield row
