"""Chat templates in the manner of each family, and a model folder whose vocabulary knows all their control tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tokenizer_texts as texts
import tokenizers

from engine.chat_format import ChatFormat
from engine.convert import vocabulary
from engine.template_sandbox import ChatTemplate
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

CONTROL = [
    "<s>", "</s>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<bos>",
    "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "[INST]", "[/INST]",
]  # fmt: skip

# Written for this test in the manner of each family.
TEMPLATES = {
    "qwen": """
{%- if messages[0].role != 'system' %}
    {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == "user" and not message.content.startswith('<tool_response>') %}
        {%- set ns.last = (messages|length - 1) - loop.index0 %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" and '</think>' in message.content %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
    {%- else %}
        {%- set content = message.content %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    "smollm": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nBe of use<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama3": (
        "{{- bos_token }}\n{%- if strftime_now is defined %}{% set year = strftime_now('%Y') %}{% endif %}\n"
        "{%- for message in messages %}\n"
        "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim"
        " + '<|eot_id|>' }}\n{%- endfor %}\n{%- if year|length != 4 %}{{ raise_exception('no year') }}{% endif %}\n"
        "{%- if add_generation_prompt %}\n{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}\n{%- endif %}\n"
    ),
    "gemma": (
        "{{ bos_token }}{%- for message in messages -%}\n"
        "{%- if message['role'] == 'system' -%}{{ raise_exception('System role not supported') }}{%- endif -%}\n"
        "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('must alternate') }}"
        "{%- endif -%}\n"
        "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) ~ '\n'"
        " ~ message['content'] | trim ~ '<end_of_turn>\n' }}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}\n"
    ),
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "mistral": (
        "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
        "{{ '[INST] ' + message.content + ' [/INST]' }}{% elif message.role == 'assistant' %}"
        "{{ ' ' + message.content + eos_token }}{% else %}{{ raise_exception('Only user and assistant') }}{% endif %}"
        "{% endfor %}"
    ),
}


def reference_tokenizer() -> tokenizers.Tokenizer:
    """A byte-level tokenizer with every family's control tokens, as its publisher would run it."""
    tokenizer = tokenizers.Tokenizer.from_str(texts.byte_level("qwen").to_str())
    tokenizer.add_special_tokens(CONTROL)
    tokenizer.add_tokens(["<think>", "</think>"])
    return tokenizer


def write(source: Path, folder: Path) -> None:
    """The same tokenizer as a model folder of ours; `source` holds the publisher's files."""
    saved = texts.save(reference_tokenizer(), source, bos_token="<s>", eos_token="</s>")
    vocabulary.from_hugging_face(saved, folder)


def chat_format(folder: Path, template: str | None) -> tuple[ChatFormat, Tokenizer]:
    tokenizer = Tokenizer.load(folder)
    return ChatFormat(tokenizer, None if template is None else ChatTemplate(template)), tokenizer
