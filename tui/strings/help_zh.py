"""The help of the command line in Chinese, by its English texts: a sentence of a command, an option, a name of a value.

A test asks for every text of every command here, so a new one cannot be forgotten. Examples have a file of their own.
"""

HEADINGS = {
    "Examples": "示例",
    "Usage": "用法",
    "Arguments": "参数",
    "Options": "选项",
    "Commands": "命令",
    "Exit codes": "退出码",
}

NAMES = {
    "[OPTIONS]": "[选项]", "COMMAND …": "命令 …", "COMMAND [ARGS]...": "命令 [参数]...",
    "A,B,C": "甲,乙,丙", "ADAPTER": "适配器", "ADDRESS": "地址", "CONFIG": "配置", "FILE": "文件", "ID": "编号",
    "LENGTH": "长度", "MODEL": "模型", "N": "N", "NAME": "名称", "PATH": "路径", "PROMPT": "提示", "QUERY": "查询",
    "SECONDS": "秒", "SHAPE": "形状", "SPEC": "格式", "TASK": "任务", "TEXT": "文本", "TEXT=LABEL": "文本=标签",
    "TIME": "时间", "TITLE": "标题", "URL": "网址", "X": "X", "data": "数据", "files": "文件", "key": "设置",
    "name": "名称", "path": "路径", "question": "问题", "shell": "shell", "text": "文本", "texts": "文本",
    "value": "值", "<int>": "<整数>", "<int range>": "<整数>", "<float>": "<小数>", "<str>": "<文本>",
    "<path>": "<路径>", "<boolean>": "<真假>",
}  # fmt: skip
"""What stands for a value or an argument, without the dots of one that can be repeated."""

EXIT_CODES = {
    "done": "完成",
    "run-time error": "运行出错",
    "usage": "用法不对",
    "model missing or not loadable": "没有模型或载入不了",
    "the input does not fit and --overflow is error": "输入放不下而 --overflow 为 error",
    "output failed its schema or labels": "输出不合 schema 或标签",
    "one or more rows failed": "有行出错",
    "Ctrl-C": "Ctrl-C",
    "the reader is gone (| head)": "读取方已关闭（| head）",
    "SIGTERM": "SIGTERM",
}

COMMANDS = {
    "Language models in your terminal, on your own machine.": "在终端里、在自己的电脑上使用语言模型。",
    "Answer a question.": "回答问题。",
    "Files and piped text are documents that the answer is taken from.": "文件和管道文本是文档，答案取自其中。",
    "Talk with a model.": "与模型聊天。",
    "On a terminal a full-screen app opens, else it goes line by line; F1 or /help explains.":
        "在终端里打开全屏应用，否则逐行进行；F1 或 /help 有说明。",
    "Continue a text, raw.": "原样续写文本。",
    "The continuation alone is printed.": "只输出续写的部分。",
    "Summarize each text, all of it, in chunks if it is long; one no longer than its summary comes out whole.":
        "为每份文本写摘要：读完全文，长文分段读；不比摘要长的全文给出。",
    "Translate each text; code, addresses and Markdown's marks stay as they are.":
        "翻译每份文本；代码、网址和 Markdown 标记原样保留。",
    "Judge texts.": "判断文本是正面还是负面。",
    "Prints LABEL<TAB>PROBABILITY for each; several also with the text or its name.":
        "每份输出“标签<TAB>概率”；不止一份时还带上文本或它的名称。",
    "Sort texts under labels.": "按标签给文本分类。",
    "Prints LABEL<TAB>PROBABILITY for each; with --multi all that fit.":
        "每份输出“标签<TAB>概率”；加 --multi 则输出所有合适的标签。",
    "Run one prompt for each row, several at once; order is kept, and an error stays in its row.":
        "对每一行用同一个提示，多行同时处理；顺序不变，出错只影响那一行。",
    "Teach a model on rows of your own (an adapter), or train a small one from nothing.":
        "用自己的数据教模型（写成适配器），或从零训练一个小模型。",
    "An adapter is a low-rank change beside the int8 weights (LoRA). Ctrl-C or a kill loses a minute at most: "
    "the same command goes on, to the very same end.":
        "适配器是 int8 权重旁边的低秩改动（LoRA）。按 Ctrl-C 或进程被杀，最多丢掉一分钟："
        "用同一条命令接着训练，结果完全相同。",
    "Count the tokens of a text.": "计算文本的词元数。",
    "Measure a task on rows with known answers: figures with 95% intervals (bootstrap), and rows/s.":
        "用已知答案的数据衡量任务：指标及 95% 置信区间（自助法），每秒行数。",
    "Fields: text, label (sentiment, classify) · context, question, answers (qa; an empty list: the text does not say) "
    "· text, summaries (summarize) · en, zh (translate) · query, relevant (search; ids of --passages) · "
    "context, endings, label (multiple-choice).":
        "字段：text、label（sentiment、classify）· context、question、answers（qa；空列表表示文中没有提到）· "
        "text、summaries（summarize）· en、zh（translate）· query、relevant（search；--passages 里的 id）· "
        "context、endings、label（multiple-choice）。",
    "Measure how fast a model is on this machine: medians of rounds, with their spread.":
        "测量模型在这台机器上的速度：多轮的中位数和范围。",
    "Nothing else should run.": "请勿同时运行别的程序。",
    "Look at the installation, the machine and the models.": "检查安装、机器和模型。",
    "Exits 1 if something is broken.": "有问题时退出码为 1。",
    "Print the folders and files of this program, with their sizes.": "列出本程序的文件夹和文件及其大小。",
    "Install Tab completion for llm and local-llm.": "为 llm 和 local-llm 安装 Tab 补全。",
    "Print a vector of length 1 for each text, as JSONL.": "为每份文本输出一个长度为 1 的向量（JSONL）。",
    "The product of two vectors says how near their texts are.": "点积说明两份文本有多接近。",
    "Find passages in the indexed files, by words and meaning.": "在已索引的文件里查找段落，既按字词也按意思。",
    "Prints FILE:LINE: LINE SCORE, the best first.": "输出“文件:行号: 内容 分数”，最好的在前。",
    "Find, show, export and delete the conversations that are kept.": "查找、显示、导出、删除保存下来的对话。",
    "List conversations: pinned ones (*) first, then the newest.": "列出对话：置顶的（*）在前，其余由新到旧。",
    "Find messages by their words or by the conversation's title; with --meaning by what they say.":
        "按词或按对话的标题查找消息；加 --meaning 则按意思查找。",
    "Print a conversation.": "显示一个对话。",
    "Write conversations as Markdown or JSON (which `import` reads); all of them without an id.":
        "把对话写成 Markdown 或 JSON（`import` 能读回来）；不给编号就是全部。",
    "Take conversations in from a file, branches and all: every one of them or, if anything fails, none.":
        "从文件导入对话，连同各个分支：要么全部导入，出错则一个也不导入。",
    "Give a conversation a title.": "给对话起标题。",
    "Keep a conversation at the head of the list, and whatever its age.": "把对话置顶，再旧也不会被清理。",
    "Delete conversations, from the disk as well.": "删除对话，磁盘上也不留。",
    "Asks on a terminal; elsewhere it needs --yes.": "在终端里会先询问；否则需要 --yes。",
    "Draw each answer again as it was drawn, and say whether it is identical or where it differs.":
        "照原样重新生成每个回答，说明是否完全相同，或从哪里开始不同。",
    "Keep a model in memory, so that the same commands answer at once.": "让模型常驻内存，之后同样的命令立即回答。",
    "Ctrl-C ends it.": "按 Ctrl-C 结束。",
    "Show the main job on bundled texts.": "用随附的文章演示主要功能。",
    "Get, list, show and remove models.": "获取、列出、查看、删除模型。",
    "Only pull uses the network.": "只有 pull 使用网络。",
    "Bring a model to this machine: resumed, checked, converted to int8.":
        "把模型下载到这台机器：可断点续传，校验之后转换为 int8。",
    "Convert a model that is already on this machine.": "转换已在这台机器上的模型。",
    "List the installed models; * marks the default.": "列出已安装的模型；* 标出默认的。",
    "Describe a model: size, context, licence, source, and what int8 costs it; or an adapter.":
        "介绍模型：大小、上下文、许可证、来源、int8 的损失；或介绍适配器。",
    "Remove a model.": "删除一个模型。",
    "Asks on a terminal; elsewhere it needs --yes, and the whole name.": "在终端里会先询问；否则需要 --yes 和全名。",
    "Print the default model, or choose it.": "显示默认模型，或另选一个。",
    "Show and change settings.": "查看和修改设置。",
    "A flag stands above a variable, above .local-llm.toml, above the user's file.":
        "优先级：命令行选项 > 环境变量 > .local-llm.toml > 用户的设置文件。",
    "Print all settings.": "显示全部设置。",
    "Print one setting's value; nothing where it is each command's own.":
        "显示一项设置的值；由各命令自行决定的，什么也不显示。",
    "Change a setting in the user's file; its comments stay.": "修改用户设置文件里的一项；文件里的注释会保留。",
    "Take a setting out of the user's file.": "从用户的设置文件里去掉一项。",
    "Print where the settings file is.": "显示设置文件在哪里。",
    "Open the settings file in $VISUAL or $EDITOR, and check what was written.":
        "用 $VISUAL 或 $EDITOR 打开设置文件，并检查写了什么。",
    "Keep texts ready for search: their words, and vectors of what they say.":
        "为搜索备好文本：其中的字词，以及表示意思的向量。",
    "Read files that are new or changed, folders with all below; without a path, everything added before.":
        "读入新的或改过的文件，文件夹则连同里面的全部；不给路径则为以前加入过的。",
    "Hidden files and folders, binary files, and links to folders are left out.":
        "隐藏的文件和文件夹、二进制文件以及指向文件夹的链接不读。",
    "List the indexed files with their passages.": "列出已索引的文件及其段落数。",
    "Forget files: their words, passages and vectors leave the index.":
        "忘掉文件：它们的字词、段落和向量都从索引里去掉。",
    "The files themselves stay.": "文件本身不动。",
    "Say how much is indexed, and with which models.": "说明索引了多少，用的是哪些模型。",
}  # fmt: skip

OPTIONS = {
    "Show this message and exit.": "显示这份帮助",
    "Show the version.": "显示版本",
    "Install completion for the current shell.": "为当前 shell 安装补全",
    "Show completion for the current shell, to copy it or customize the installation.":
        "显示当前 shell 的补全脚本，可复制或自行安装",
    # Shared by many commands
    "Model to use.": "要用的模型",
    "A fine-tuned change of the model (llm finetune).": "适配器：模型的微调结果（llm finetune）",
    "Use the server at this OpenAI-compatible URL.": "使用这个网址上的 OpenAI 兼容服务器",
    "System prompt: text or @FILE.": "系统提示：文本或 @文件",
    "Where to compute.": "在哪里计算",
    "CPU threads.": "CPU 线程数",
    "Context in tokens.": "上下文的词元数",
    "Longest reply in tokens.": "回答最多写多少词元",
    "0 is greedy, higher freer.": "温度：0 总取最可能的，越高越随意",
    "Keep tokens up to this probability.": "只在累积概率达到此值的词元中选",
    "Keep the k likeliest tokens; 0: all.": "只在最可能的 k 个词元中选；0 为全部",
    "Keep tokens above this share of the best.": "只选概率不低于最高者这一比例的词元",
    "Above 1 repeats less.": "重复惩罚：大于 1 则少重复",
    "Same seed, same result.": "种子：相同则结果相同",
    "End before this text; can be repeated.": "在这段文本之前停下；可写多次",
    "Stop writing after so many seconds.": "写了这么多秒就停",
    "Documents too long: read the passages that matter (search, unless told), summaries, the beginning (head), "
    "the end (tail), both (middle), or stop (error).":
        "文档太长时：只读相关的段落（search，默认），读各部分的摘要（summarize），只读开头（head）、结尾（tail）"
        "或首尾两头（middle），或者报错（error）",
    "A document, - for stdin; can be repeated.": "文档，- 为标准输入；可写多次",
    "Encoding of the files; UTF-8 unless told.": "文件的编码；默认 UTF-8",
    "Bytes that are no text: refuse the file (unless told), or put � for them.":
        "遇到不是文本的字节：不读这个文件（默认），或用 � 代替",
    "Read web pages as the text that is seen, or as source.": "网页按看到的正文读（page），还是按源码读（source）",
    "Write the answer here, whole or not at all; - for stdout.":
        "把答案写入这个文件，要么写全，要么不写；- 表示标准输出",
    "Answer in JSON, for programs.": "以 JSON 输出，供程序读取",
    "Print Markdown as it is written.": "不渲染 Markdown，原样输出",
    "Render Markdown even in a pipe.": "即使在管道里也渲染 Markdown",
    "Print the answer when it is complete.": "答案写完后再输出",
    "Timings on stderr.": "把用时写到标准错误",
    "Show the final prompt and its tokens; do not run it.": "只显示最终的提示和词元数，不运行",
    "Answer questions with yes.": "对询问一律回答“是”",
    "Never ask.": "从不询问",
    "Only answer and errors.": "只输出答案和错误",
    "Say more on stderr.": "在标准错误上输出更多信息",
    "Colours.": "何时用颜色",
    "Show tracebacks.": "出错时显示调用栈",
    "Rows: lines, csv:COLUMN, tsv:COLUMN or jsonl:FIELD.": "按行读入：lines、csv:列、tsv:列或 jsonl:字段",
    "Format of the rows; text unless told, jsonl with --resume.":
        "各行的输出格式；默认 text，与 --resume 合用时为 jsonl",
    "Format of the rows; jsonl unless told.": "各行的输出格式；默认 jsonl",
    "Write rows to this file; rows it holds are not done again.": "把各行写入这个文件；已在其中的行不再做",
    "Neither use nor keep results of passages.": "各段的结果既不用也不留",
    "Files, - for stdin.": "文件，- 为标准输入",
    "Texts, - for stdin.": "文本，- 为标准输入",
    "Files and folders.": "文件和文件夹",
    "What to look for.": "关注什么",
    "One vector for each.": "每份还是每行一个向量",
    "One label for each.": "每份还是每行一个标签",
    "Everything.": "全部",
    # ask, chat, complete, tokens
    "The question; without it, stdin.": "问题；不写就读标准输入",
    "Shape of the answer: 'name, age int, mood in happy|sad', JSON Schema, or a file of either.":
        "答案形如 '姓名, 年龄 整数, 心情 in 好|坏'；也可用 JSON Schema，或写有其一的文件",
    "With -c: the conversation to go on with.": "与 -c 合用：接着哪个对话聊",
    "Go on with the last conversation, or with ID.": "接着上一个对话，或编号所指的对话",
    "The same as -c ID.": "同 -c 编号",
    "Keep nothing of this conversation.": "这次对话什么都不保存",
    "Line by line, for screen readers too; no app.": "逐行聊天，也适合读屏软件；不打开全屏应用",
    "Language of the app's own words.": "界面的语言",
    "The beginning; without it, stdin.": "开头；不写就读标准输入",
    "The text; without it, stdin.": "文本；不写就读标准输入",
    "List each token: id, piece, bytes.": "列出每个词元：编号、文字、字节",
    # summarize, translate
    "short, medium, long, N% or Nw (words).": "short、medium、long、N% 或 Nw（词数）",
    "Of the summary; the text's own unless told.": "摘要的语言；默认与原文相同",
    "One line a part, with the lines it is about.": "每部分一条，并标出对应的行",
    "New words, or the sentences that say most.": "用新的话来写，或摘取最要紧的原句",
    "Into; the other language unless told.": "译成；默认为另一种语言",
    "From; found out unless told.": "译自；默认自动判断",
    "Translate this text.": "翻译这段文本",
    # sentiment, classify, batch
    "Allow neutral as a third label.": "允许第三个标签：中性",
    "Comma-separated, or @FILE with one a line.": "以逗号分隔；或 @文件，每行一个",
    "Several labels may fit, or none.": "可以有几个标签合适，也可以没有",
    "Least probability of a label; 0.5 unless told.": "标签的最低概率；默认 0.5",
    "No label where none reaches the threshold.": "都没有达到阈值时，不给标签",
    "A judged text; can be repeated.": "标注好的例子；可写多次",
    "Judged texts, TEXT=LABEL, one a line.": "标注好的例子，每行一个“文本=标签”",
    "What to do with each row: {text} stands for it, or it is a document.":
        "对每一行做什么：{text} 代表这一行，不写则这一行作为文档",
    # finetune
    "JSONL: messages; instruction, response; text, label. From scratch: plain texts.":
        "JSONL：messages；instruction、response；text、label。从零训练时为纯文本",
    "The adapter to write, .safetensors; from scratch a folder.": "要写的适配器（.safetensors）；从零训练时为文件夹",
    "Inner width of the low-rank products; 16 unless told.": "低秩乘积的内部宽度；默认 16",
    "Their weight is alpha / rank; twice the rank unless told.": "其权重为 alpha / rank；默认为 rank 的两倍",
    "Layers, all unless told: attention.qkv,attention.out,mlp.gate_up,mlp.down.":
        "哪些层，默认全部：attention.qkv,attention.out,mlp.gate_up,mlp.down",
    "How often each row is seen; 2 unless told.": "每行看几遍；默认 2",
    "At its peak; 2e-4 unless told.": "学习率的峰值；默认 2e-4",
    "Share of the rows that only measures; 0.05 unless told.": "只用来测量的行所占比例；默认 0.05",
    "Longer rows are left out, in tokens; 1024 unless told.": "更长的行不用，以词元计；默认 1024",
    "Tokens of a step: its batch; 1024 unless told.": "每一步的词元数，即批的大小；默认 1024",
    "Tokens at once, memory grows with them; 1024 unless told.": "同时计算的词元数，越多越占内存；默认 1024",
    "Go on from this adapter, with its rank, alpha and targets.": "从这个适配器接着训练，沿用其 rank、alpha、targets",
    "Terms of the data, or whom to name: kept in the adapter.": "数据的许可，或应署名的人：保存在适配器里",
    "A text file of such lines.": "每行一条许可的文本文件",
    "Train a new decoder of this shape (TOML or JSON: layers, width, heads, context …).":
        "按这个形状训练新的解码器（TOML 或 JSON：层数、宽度、头数、上下文等）",
    "From scratch: install the model under this name.": "从零训练时：以此名称安装模型",
    # eval, bench, doctor
    "sentiment, classify, qa, summarize, translate, search, perplexity or multiple-choice.":
        "sentiment、classify、qa、summarize、translate、search、perplexity 或 multiple-choice",
    "Rows as JSONL; for perplexity a text.": "JSONL 数据；perplexity 则为文本",
    "Measure N rows, drawn by --seed evenly over the file.": "只测 N 行，按 --seed 在全文件中均匀抽取",
    "Write each row's answer here, as JSONL.": "把每行的答案写入这个文件（JSONL）",
    "classify: comma-separated, or @FILE; the data's own unless told.":
        "classify：以逗号分隔，或 @文件；默认取数据里的",
    "classify: judged texts, TEXT=LABEL.": "classify：标注好的例子，每行一个“文本=标签”",
    "search: what is searched, JSONL of id and text.": "search：被搜索的段落，含 id 和 text 的 JSONL",
    "translate: into; zh unless told.": "translate：译成；默认 zh",
    "summarize: short, medium, long, N% or Nw.": "summarize：short、medium、long、N% 或 Nw",
    "Model to measure; the default model unless told.": "测哪个模型；默认测默认模型",
    "Fewer measures: about a minute.": "少测几项：约一分钟",
    "Times that all is measured; 3 unless told.": "全部测几轮；默认 3",
    "Do not load a model.": "不载入模型",
    "Hash every file of every model.": "逐个校验每个模型的每个文件",
    # completion, search, index
    "The shell; yours unless told.": "哪种 shell；默认为正在用的",
    "Print the script; install nothing.": "只输出脚本，不安装",
    "What to look for, in words of any kind.": "要找什么，怎么说都行",
    "Most hits.": "最多几条结果",
    "By words alone: quick, no model.": "只按字词：快，不用模型",
    "By meaning alone.": "只按意思",
    "Words alone: no vectors, no model.": "只索引字词：没有向量，不用模型",
    # history
    "How many.": "列出多少",
    "Words, or with --meaning what it is about.": "要找的词；加 --meaning 则写大意",
    "By the model's own embeddings.": "按意思，用模型自己的向量",
    "A conversation.": "一个对话",
    "Every branch, not only the shown one.": "所有分支，而不只是当前这一支",
    "Conversations.": "哪些对话",
    "Format; by the name of the --output file, or md.": "格式；默认看 --output 的文件名，否则为 md",
    "Ours, or conversations.json of a ChatGPT export.": "本程序导出的文件，或 ChatGPT 导出的 conversations.json",
    "Its new title.": "新标题",
    "No longer.": "取消置顶",
    # serve
    "End when nobody came so long: 90s, 2h, forever; 30m unless told.":
        "这么久无人使用就退出：90s、2h、forever；默认 30m",
    "Speak the OpenAI-compatible HTTP API as well.": "同时提供 OpenAI 兼容的 HTTP 接口",
    "Address for --http.": "--http 的地址",
    "Port for --http; 0: any that is free.": "--http 的端口；0 为任一空闲端口",
    "Let --host be an address that others reach.": "允许 --host 使用别人能访问的地址",
    "Return when the server is ready.": "服务就绪后即返回，在后台运行",
    "Say what runs; exits 1 if nothing does.": "说明在运行什么；没有则退出码为 1",
    "End the server that runs.": "结束正在运行的服务",
    # models, config
    "A name of the catalog or hf:OWNER/REPO; the default without it.":
        "模型清单里的名称，或 hf:所有者/仓库；不写则为默认模型",
    "The publisher's hub, a package index, or whichever can be reached.":
        "发布者的模型中心、软件包索引，或能连上的那个",
    "What to call it here.": "安装后的名称",
    "A .gguf file or a folder with safetensors; with --adapter also an installed model.":
        ".gguf 文件或含 safetensors 的文件夹；加 --adapter 时也可以是已安装的模型",
    "Install a model with this change merged, under --name.": "并入这个适配器，以 --name 为名安装成新模型",
    "Also those that can be pulled.": "也列出可以下载的",
    "A model or an adapter's file; the default model without it.": "模型，或适配器文件；不写则为默认模型",
    "An installed model.": "已安装的模型",
    "The setting.": "哪项设置",
    "Its new value; of several texts a list, as in the example.": "新的值；多个文本写成列表，如示例",
    "Say where each value comes from.": "说明每个值的来处",
    "In .local-llm.toml of this folder, not the user's file.":
        "指当前文件夹的 .local-llm.toml，而不是用户的设置文件",
}  # fmt: skip
