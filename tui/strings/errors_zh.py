"""What the engine says when something is wrong, in Chinese: the errors a person meets in the app and in commands.

The engine speaks English alone; here its sentences are known by their form, and one that is not stays as it is. What
stands in a sentence may be one itself: `x could not be fetched: the hub can't be reached`.
"""

import re
from collections.abc import Iterable

from tui.strings import errors_zh_cli, errors_zh_models, errors_zh_work

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
    (r"(/.+) needs a value \((.+)\)", "{1} 需要一个值（{2}）"),
    (r"/export needs a file", "/export 需要文件名"),
    (r"/export chat.md or /export chat.json", "例如 /export chat.md 或 /export chat.json"),
    (r"/copy takes a number from 1, got (.+)", "/copy 需要从 1 开始的数字，却是 {1}"),
    (r"there are (\d+) answers so far", "到现在只有 {1} 个回答"),
    (r"no such file: (.+)", "没有这个文件：{1}"),
    (r"did you mean (.+)\?", "是不是 {1}？"),
    (r"known: (.+)", "已知的有：{1}"),
    (r"looked in (.+): check the name", "在 {1} 里没有：请检查文件名"),
    (r"there is no folder (.+): check the path", "没有文件夹 {1}：请检查路径"),
    (r"save its text first, or name another file", "请先存入内容，或换一个文件"),
    (r"(.+) is a folder, expected a text file", "{1} 是文件夹，需要文本文件"),
    (r"name files: (.+)", "请指明文件：{1}"),
    (r"a file's name is empty", "文件名是空的"),
    (r"check the quotes, and the variable that holds it", "请检查引号和变量"),
    (r"can't read (.+?): (.+)", "读不了 {1}：{2}"),
    (r"ask its owner for leave to read it, or name another file", "请让文件的主人给你读的权限，或换一个文件"),
    (r"a text itself is piped in; a file is named by its path", "这里要写文件的路径；文字本身请用管道送入"),
    (r"check the path, or name another file", "请检查路径，或换一个文件"),
    (r"can't write (.+?): (.+)", "写不了 {1}：{2}"),
    (r"check the folder, its permissions and space", "请检查文件夹、权限和剩余空间"),
    (r"(.+) is empty: nothing to (\w+)", "{1} 是空的：没有可处理的"),
    (r"(.+) is empty", "{1} 是空的"),
    (r"(.+) is larger than (\d+) MiB", "{1} 大于 {2} MiB"),
    (r"split it, and give the parts one by one", "请拆开，一份一份地给"),
    (r"(.+) is binary, expected text \(a NUL at byte (\d+)\)", "{1} 是二进制文件，需要文本（第 {2} 字节为 NUL）"),
    (r"a text in UTF-16 needs --encoding utf-16", "UTF-16 的文本请先转成 UTF-8，或在命令行加 --encoding utf-16"),
    (r"(.+): not valid (\S+) at byte (\d+)", "{1}：第 {3} 字节不是有效的 {2}"),
    (r"--encoding names another encoding .+", "请先转成 UTF-8，或在命令行用 --encoding 说明编码，例如 gb18030"),
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
    (r"move it away; a new one is made", "把它移走，会新建一个"),
    (r"check the folder's permissions and space", "请检查文件夹的权限和空间"),
    (r"there is nothing to continue: the prompt is empty", "没有可接着写的：提问是空的"),
    (r"the chat template leaves out the last message, .+", "这个模型的对话格式不含最后一条消息，没法接着写"),
    (r"a conversation needs (.+)", "对话需要 {1}"),
    (r"the text holds nearly every noncharacter of Unicode", "文字里几乎有全部 Unicode 非字符"),
    (r"It is likely not text\.", "它多半不是文字"),
    (r"the text needs (\d+) tokens, the context is (\d+)", "文字要 {1} 词元，上下文只有 {2}"),
    (r"input (.+) tok \+ (.+) for the reply > (.+) context", "输入 {1} 词元，加上回答的 {2}，超过上下文 {3}"),
    (r"(.+); or raise --ctx\.", "{1}；或调大 --ctx"),
    (r"Shorten it, or raise --ctx if the model allows\.", "请缩短，或在模型允许时调大 --ctx"),
    (r"Raise --ctx or ask for less\.", "请调大 --ctx，或要求得少一些"),
    (r"Raise --ctx\.", "请调大 --ctx"),
    (r"a context of (\d+) tokens has no room to translate in", "{1} 词元的上下文不够用来翻译"),
    (r"a length is short, medium, long, N% or Nw, got (.+)", "长度可以是 short、medium、long、N% 或 Nw，却是 {1}"),
    (r"instruction, examples and labels need (\d+) of (\d+) tokens of context",
     "说明、例子和标签要占 {2} 词元上下文中的 {1}"),
    (r"expected at least two different labels, got (.+)", "至少需要两个不同的标签，却是 {1}"),
    (r"two labels would be the same reply", "有两个标签的回答一样"),
    (r"the context must be (\d+) to (\d+) tokens for (\S+), got (.+)", "{3} 的上下文应为 {1} 到 {2} 词元，却是 {4}"),
    (r"threads must be at least 1, got (.+)", "线程至少为 1，却是 {1}"),
    (r"a stop string could cut what has a schema", "停止词可能截断有格式要求的回答"),
    (r"leave --stop or --schema out", "请去掉 --stop 或 --schema"),
    (r"score_many takes conversations in one language", "一起打分的对话须是同一种语言"),
    (r"the prompt must be longer than what the cache holds, got (.+)", "提问须比缓存里的长，却是 {1}"),
    (r"no int8 kernel for (\S+): (.+)", "{1} 上没有可用的 int8 计算：{2}"),
    (r"no (\S+) device on this machine", "这台机器上没有 {1} 设备"),
    (r"unknown device (.+)", "不认识的设备 {1}"),
    (r"Use --device auto or --device cpu\.", "请用 --device auto 或 --device cpu"),
    (r"Use auto, cpu, cuda or mps\.", "可用 auto、cpu、cuda 或 mps"),
    (r"no model is loaded", "没有载入模型"),
    (r"/model lists the models and brings one here", "/model 列出模型，也能下载"),
    (r"not enough memory", "内存不够"),
    (r"a smaller model, or a smaller ctx", "请用小一些的模型，或小一些的 ctx"),
    (r"unexpected (\w+): (.+)", "没有料到的错误 {1}：{2}"),
    (r"nothing here can copy", "这里没有能复制的工具"),
    (r"use /export FILE", "请用 /export 文件名"),
    (r"llm config set keys\.NAME KEY", "llm config set keys.动作 按键"),
    # Files of settings, places, conversations
    (r"unknown encoding (.+)", "不认识的编码 {1}"),
    (r"such as utf-8, utf-16, gb18030, big5, latin-1", "例如 utf-8、utf-16、gb18030、big5、latin-1"),
    (r"can't open the (\w+) (.+): (.+)", "打不开 {2}：{3}"),
    (r"the \w+ (.+) can't be used: (.+)", "{1} 用不了：{2}"),
    (r"(.+) was made by a newer version of this program \(format (\d+), known up to (\d+)\)",
     "{1} 是更新的版本写的（格式 {2}，这里只认到 {3}）"),
    (r"update this program, or (.+)", "请更新本程序，或{1}"),
    (r"no home folder is known for this user", "不知道这个用户的主文件夹"),
    (r"set (\w+) to a folder(?: that can be written)?", "请把 {1} 设为能写的文件夹"),
    (r"(.+) belongs to someone else", "{1} 是别人的"),
    (r"remove it, or set XDG_RUNTIME_DIR", "请删除它，或设置 XDG_RUNTIME_DIR"),
    (r"(.+) can't be a name: letters, digits, space, \. \+ - _ can",
     "{1} 不能作名字：只能用字母、数字、空格和 . + - _"),
    (r"(.+) is no kept conversation: (.+)", "{1} 不是保存的对话：{2}"),
    (r"(.+): the turns of user and assistant do not alternate", "{1}：提问和回答没有交替"),
    (r"a message is neither user's nor assistant's text", "有一条消息既不是提问也不是回答"),
    (r"the system prompt is no text", "系统提示不是文字"),
    (r"a message hangs below itself", "有一条消息接在自己后面"),
    (r"message (.+) hangs below (.+), which does not stand before it", "消息 {1} 接在 {2} 后面，而它不在前面"),
    (r"it holds no conversation", "里面没有对话"),
    (r"expected a text, got (.+)", "需要文字，却是 {1}"),
    (r"expected user or assistant, got (.+)", "需要 user 或 assistant，却是 {1}"),
    (r"expected 1 or more, got (.+)", "需要 1 或更大，却是 {1}"),
    (r"expected a URL such as (\S+), got (.+)", "需要 {1} 这样的网址，却是 {2}"),
    (r"expected a time such as (.+), got (.+)", "需要 {1} 这样的时间，却是 {2}"),
    (r"a URL with a key, a query or a fragment in it is not taken: .+",
     "不接受带密钥、参数或片段的网址：密钥放在 LOCAL_LLM_API_KEY"),
    (r"(.+): (\w+) can't be set for a project", "{1}：{2} 不能为一个项目设置"),
    (r"it says where texts are sent: .+", "它决定文字发到哪里：请写在自己的设置里，或用 --endpoint"),
    (r"mend or remove the file first", "请先改好或删除这个文件"),
    (r"the file must be UTF-8 TOML, such as: (.+)", "文件须是 UTF-8 的 TOML，例如：{1}"),
)  # fmt: skip
_REASONS = (
    ("No such file or directory", "没有这个文件或文件夹"), ("Permission denied", "没有权限"),
    ("No space left on device", "磁盘已满"), ("Read-only file system", "只读的文件系统"),
    ("Is a directory", "是文件夹"), ("Not a directory", "不是文件夹"), ("File name too long", "文件名太长"),
    ("File exists", "已经存在"), ("Input/output error", "读写出错"), ("Disk quota exceeded", "超出了磁盘配额"),
    ("Connection refused", "连接被拒绝"), ("timed out", "超时"), ("Operation not permitted", "不允许这样做"),
)  # fmt: skip
"""What the system says of a failure, as it stands at the end of our sentences."""
_GENERIC = ((r"(.+?): (\w+): (.+)", "{1}：{2}：{3}"), (r"(.+?): (.+)", "{1}：{2}"))
"""A name and what is wrong with it: only where the latter is known."""


def _compiled(forms: Iterable[tuple[str, str]]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(form, re.DOTALL), text) for form, text in forms)


FORMS = _compiled((*_FORMS, *errors_zh_cli.FORMS, *errors_zh_work.FORMS, *errors_zh_models.FORMS))
_LAST = _compiled(_GENERIC)


def translated(message: str) -> str:
    """The sentence in Chinese, or as it is where its form is not known."""
    for form, text in FORMS:
        if found := form.fullmatch(message):
            return text.format(message, *map(_part, found.groups()))
    for form, text in _LAST:
        if (found := form.fullmatch(message)) and (known := _part(found.groups()[-1])) != found.groups()[-1]:
            return text.format(message, *found.groups()[:-1], known)
    return message


def _part(said: str | None) -> str:
    """What stands in a sentence: a reason, another sentence, or a name, which stays."""
    if not said or " " not in said:
        return said or ""
    return dict(_REASONS).get(said) or translated(said)
