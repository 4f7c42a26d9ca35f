"""What the engine says when something is wrong, in Chinese: the errors a person meets in the app.

The engine speaks English alone; here its sentences are known by their form, and one that is not stays as it is.
"""

import re

_FORMS = (
    (r"the question is empty", "问题是空的"),
    (r"the last question has no answer yet", "上一个问题还没有回答"),
    (r"retry it, or edit it", "可以重答，或修改它"),
    (r"only a question can be answered", "只有问题才能回答"),
    (r"nothing was asked yet", "还没有提过问题"),
    (r"the text is empty: nothing was changed", "文字是空的：没有改动"),
    (r"the title is empty", "标题是空的"),
    (r"unknown word (/\S+)", "没有命令 {1}"),
    (r"did you mean (/\S+)\? \((//\S+) sends (/\S+) to the model\)", "是不是 {1}？（{2} 会把 {3} 发给模型）"),
    (r"/help lists the words \((//\S+) sends (/\S+) to the model\)", "/help 列出命令（{1} 会把 {2} 发给模型）"),
    (r"(/\S+) takes nothing after it, got (.+)", "{1} 后面不要别的，却有 {2}"),
    (r"(/\S+) needs a value \((.+)\)", "{1} 需要一个值（{2}）"),
    (r"/export needs a file", "/export 需要文件名"),
    (r"/export chat.md or /export chat.json", "例如 /export chat.md 或 /export chat.json"),
    (r"/copy takes a number from 1, got (.+)", "/copy 需要从 1 开始的数字，却是 {1}"),
    (r"there are (\d+) answers so far", "到现在只有 {1} 个回答"),
    (r"no such file: (.+)", "没有这个文件：{1}"),
    (r"did you mean (.+)\?", "是不是 {1}？"),
    (r"looked in (.+): check the name", "在 {1} 里没有：请检查文件名"),
    (r"there is no folder (.+): check the path", "没有文件夹 {1}：请检查路径"),
    (r"save its text first, or name another file", "请先存入内容，或换一个文件"),
    (r"(.+) is a folder, expected a text file", "{1} 是文件夹，需要文本文件"),
    (r"name files: (.+)", "请指明文件：{1}"),
    (r"can't read (.+?): (.+)", "读不了 {1}：{2}"),
    (r"can't write (.+?): (.+)", "写不了 {1}：{2}"),
    (r"check the folder, its permissions and space", "请检查文件夹、权限和剩余空间"),
    (r"(.+) is empty", "{1} 是空的"),
    (r"(.+) is empty: nothing to summarize", "{1} 是空的：没有可概括的"),
    (r"(.+) is larger than (\d+) MiB", "{1} 大于 {2} MiB"),
    (r"split it, and give the parts one by one", "请拆开，一份一份地给"),
    (r"(.+) is binary, expected text \(a NUL at byte (\d+)\)", "{1} 是二进制文件，需要文本（第 {2} 字节为 NUL）"),
    (r"a text in UTF-16 needs --encoding utf-16", "UTF-16 的文本请先转成 UTF-8"),
    (r"(.+): not valid (\S+) at byte (\d+)", "{1}：第 {3} 字节不是有效的 {2}"),
    (r"--encoding names another encoding .+", "请先转成 UTF-8"),
    (r"no conversation (\d+) is kept", "没有保存编号为 {1} 的对话"),
    (r"llm history list names them", "llm history list 列出全部"),
    (r"the conversation was deleted meanwhile", "这个对话已被删除"),
    (r"what is written now is not kept", "现在写的不会保存"),
    (r"(.+) holds no conversations: (.+)", "{1} 里没有对话：{2}"),
    (r"expected what `llm history export --as json` writes, .+", "需要 llm history export --as json 写的文件，"
     "或 ChatGPT 导出的 conversations.json"),
    (r"the prompt has (\d+) tokens, the context is (\d+)", "提问共 {1} 词元，上下文只有 {2}"),
    (r"a context of (\d+) tokens has no room to summarize in", "{1} 词元的上下文不够用来概括"),
    (r"unknown setting (.+)", "没有设置 {1}"),
    (r"(.+): (\w+) expects (.+), got (.+)", "{1}：{2} 需要 {3}，却是 {4}"),
    (r"no editor (.*?) ?was found", "没有找到编辑器 {1}"),
    (r"set EDITOR to one", "请用环境变量 EDITOR 指定一个"),
    (r"the editor (\S+) failed with status (\d+)", "编辑器 {1} 以状态 {2} 失败"),
    (r"(.+) is in use by another process", "{1} 正被另一个进程使用"),
    (r"try again when it is done", "等它结束后再试"),
    (r"the history (.+) can't be used: (.+)", "历史文件 {1} 用不了：{2}"),
    (r"check its folder and the space there", "请检查它的文件夹和剩余空间"),
    (r"(.+) is damaged: (.+)", "{1} 已损坏：{2}"),
    (r"move it away; a new one is made", "把它移走，会新建一个"),
    (r"(.+) could not be fetched: (.+)", "{1} 没能下载：{2}"),
    (r"the hub did not answer within (\d+) seconds", "模型中心在 {1} 秒内没有回应"),
)  # fmt: skip
FORMS = tuple((re.compile(form, re.DOTALL), text) for form, text in _FORMS)


def translated(message: str) -> str:
    """The sentence in Chinese, or as it is where its form is not known."""
    for form, text in FORMS:
        if found := form.fullmatch(message):
            return text.format(message, *found.groups())
    return message
