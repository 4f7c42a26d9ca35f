"""The examples of the help for who reads Chinese, by the English ones: commands that are the same are not listed."""

EXAMPLES = {
    "llm models pull                          get the default model (once)":
        "llm models pull                          下载默认模型（只需一次）",
    'llm ask "Why is the sky blue?"': 'llm ask "天空为什么是蓝色的？"',
    'cat notes.txt | llm ask "What is still open?"': 'cat notes.txt | llm ask "还有哪些事没做？"',
    "printf 'I loved every minute' | llm sentiment": "printf '房间又脏又吵' | llm sentiment",
    'llm ask "What differs?" -f old.py -f new.py': 'llm ask "有什么不同？" -f old.py -f new.py',
    'echo "Why is the sky blue?" | llm ask': 'echo "天空为什么是蓝色的？" | llm ask',
    'llm ask "Name three colours" --json --temperature 0.7 --seed 1':
        'llm ask "说出三种颜色" --json --temperature 0.7 --seed 1',
    "echo \"Anna is 37 and glad\" | llm ask \"Who is it?\" --schema 'name, age int, mood in happy|sad'":
        "echo \"安娜今年 37 岁，很开心\" | llm ask \"是谁？\" --schema '姓名, 年龄 整数, 心情 in 开心|难过'",
    'llm chat -m qwen2.5-coder-1.5b-instruct -s "Answer briefly."':
        'llm chat -m qwen2.5-coder-1.5b-instruct -s "请简短回答。"',
    "printf 'My name is Ada.\\nWhat is my name?\\n' | llm chat": "printf '我叫小明。\\n我叫什么？\\n' | llm chat",
    'llm summarize contract.md --bullets --focus "notice periods"':
        'llm summarize contract.md --bullets --focus "解约期限"',
    'llm translate --text "Where is the station?"': 'llm translate --text "车站在哪里？"',
    'llm sentiment "I loved every minute"': 'llm sentiment "服务热情，菜也好吃"',
    'llm classify --labels spam,ham "You have won a prize, call now!"':
        'llm classify --labels 垃圾,正常 "恭喜您中奖，请立即来电！"',
    "llm classify --labels bug,feature --example 'it crashes=bug' --example 'please add=feature' "
    "-f issues.txt --in lines":
        "llm classify --labels 故障,需求 --example '一打开就崩溃=故障' --example '希望能导出=需求' "
        "-f issues.txt --in lines",
    "llm batch \"Who is it?\" --schema 'name, age int' --in lines people.txt --out csv":
        "llm batch \"是谁？\" --schema '姓名, 年龄 整数' --in lines people.txt --out csv",
    'llm batch "Translate into French: {text}" --in csv:title news.csv --out csv -o french.csv':
        'llm batch "译成法语：{text}" --in csv:title news.csv --out csv -o french.csv',
    'llm finetune rows.jsonl --out mine.safetensors --licence "rows: CC BY 4.0, Jane Doe"':
        'llm finetune rows.jsonl --out mine.safetensors --licence "rows：CC BY 4.0，张三"',
    'llm ask "Who are you?" --adapter mine.safetensors': 'llm ask "你是谁？" --adapter mine.safetensors',
    "llm bench                        the default model: a few minutes":
        "llm bench                        测默认模型：几分钟",
    "llm bench NAME --threads 4 --json": "llm bench 名称 --threads 4 --json",
    'llm embed "a cat on a mat"': 'llm embed "垫子上有一只猫"',
    'llm search "when is the meeting?"': 'llm search "合同什么时候到期？"',
    'llm search "how to undo a commit" --meaning --json': 'llm search "怎样撤销一次提交" --meaning --json',
    "llm chat -c                              go on with the last one":
        "llm chat -c                              接着上一个对话聊",
    "llm history search 'what eats metal' --meaning": "llm history search '什么会腐蚀金属' --meaning",
    "llm history rename 12 'Batteries'": "llm history rename 12 '电池'",
    "llm serve --background                   then each command starts in a fraction of a second":
        "llm serve --background                   之后每条命令几乎立即开始",
    "llm serve --http                         for editors: the OpenAI-compatible API on this machine":
        "llm serve --http                         给编辑器用：本机上的 OpenAI 兼容接口",
    "llm config set warm true                 let the first command start it":
        "llm config set warm true                 让第一条命令自己启动它",
    "llm index add                            look again at everything that was added":
        "llm index add                            重新检查加入过的一切",
}  # fmt: skip
