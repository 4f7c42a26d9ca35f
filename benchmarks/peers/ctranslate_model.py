"""Writes CTranslate2's int8 twin of a GGUF file or a model folder of transformers:

    python -m benchmarks.peers.ctranslate_model SOURCE FOLDER

Needs ctranslate2, transformers, torch and gguf in one environment.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main() -> None:
    import transformers
    from ctranslate2.converters import TransformersConverter

    source, target = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        if source.is_dir():
            TransformersConverter(str(source)).convert(target, quantization="int8", force=True)
            return
        for kind in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer):
            kind.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)
        TransformersConverter(folder).convert(target, quantization="int8", force=True)


if __name__ == "__main__":
    main()
