"""What Typer says of a wrong command line, in Chinese."""

from __future__ import annotations

import re

from tui.strings.help_zh import NAMES

_FORMS = (
    (r"No such option: (.+?) \(Possible options: (.+)\)", "没有选项 {1}。是不是 {2}？"),
    (r"No such option: (.+)", "没有选项 {1}"),
    (r"No such command (.+?)\. Did you mean (.+)\?", "没有命令 {1}。是不是 {2}？"),
    (r"No such command (.+)\.", "没有命令 {1}"),
    (r"Missing command\.", "缺少命令"),
    (r"Missing argument (.+?)\. Choose from:\s+(.+)", "缺少参数 {name}，可以是 {2}"),
    (r"Missing argument (.+)\.", "缺少参数 {name}"),
    (r"Missing option (.+?)\. Choose from:\s+(.+)", "缺少选项 {1}，可以是 {2}"),
    (r"Missing option (.+)\.", "缺少选项 {1}"),
    (r"Option (.+) requires an argument\.", "选项 {1} 后面要有一个值"),
    (r"Option (.+) requires (\d+) arguments\.", "选项 {1} 后面要有 {2} 个值"),
    (r"Option (.+) does not take a value\.", "选项 {1} 后面不带值"),
    (r"Argument (.+) takes (\d+) values\.", "参数 {1} 要有 {2} 个值"),
    (r"Got unexpected extra argument\(s\) \((.+)\)", "多出了参数 {1}"),
    (r"Invalid value for (.+?): (.+)", "{name} 的值不对：{said}"),
    (r"(.+) is not a valid int(?: range)?\.", "{1} 不是整数"),
    (r"(.+) is not a valid float(?: range)?\.", "{1} 不是数字"),
    (r"(.+) is not a valid boolean\. Recognized values: (.+)", "{1} 不是真假值，可以是 {2}"),
    (r"(.+) is not in the range (.+)\.", "{1} 不在范围 {2} 之内"),
    (r"(.+) is not one of (.+)\.", "{1} 不在 {2} 之中"),
)


def usage_error(message: str) -> str:
    """The sentence in Chinese, or as it is where its form is not known."""
    for form, text in _FORMS:
        if found := re.fullmatch(form, message, re.DOTALL):
            groups = [group.replace(",\n\t", ", ") for group in found.groups()]
            first, last = (groups[0], groups[-1]) if groups else ("", "")
            return text.format(message, *groups, name=_name(first), said=usage_error(last) if "{said}" in text else "")
    return message


def _name(hint: str) -> str:
    """An argument by the name that the help gives it; an option is called alike everywhere."""
    name = hint.strip("'").removesuffix("...")
    return hint.replace(name, NAMES[name]) if name in NAMES else hint
