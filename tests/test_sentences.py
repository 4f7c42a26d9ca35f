"""Sentences of both languages; nothing is lost between them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.sentences import sentences


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["Dr. ", "A. ", "end. ", "好。", "？”", "x! ", "…", "3.14"])).map("".join)
)
def test_the_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It rains. Stay here! Why? Because.", 4),
        ("Dr. Smith met Mrs. Lee, i.e. his aunt, at 3.14 p.m. yesterday.", 1),
        ('He said: "Go." She went.', 2),
        ("下雨了。留在这里！为什么？因为……我不知道。", 5),
        ("他说：“走吧。”她走了。", 2),
        ("See J. S. Bach. It is fine.", 2),
        ("version 1.2.3 is out", 1),
        ("提出了一种新的方法.该方法优于传统方法.实验结果证明了这一点.", 3),
        ("销售金额占总额的64.18%,DDDs的88.46%.DDDs排序列前10位.结论:应提高质量.", 3),
        ("较好地克服了染料(C.I.B-19)的性能缺陷.该染料最适合70℃染色,可提高3.5倍.", 2),
        ("我们用支持向量机SVM.该方法见图2.图中可见,准确率为95%.这说明它有效.", 4),
        ("我们把结果写进了文件报告.PDF和数据.csv,用Node.js和main.py处理.结束了.", 2),
        ("本文讨论J.K.罗琳和C.S.刘易斯的小说,以及Smith et al.提出的方法,Fig.三除外", 1),
        ("包括三个步骤:1.准备数据 2.训练模型 3.评估结果", 1),
        ("这个软件的2.0.1版和1.5版都可以用,见第3.2节", 1),
        ("约翰.亚当斯是总统", 1),
        ("前总统乔治.布什在德克萨斯州出生。他后来去了华盛顿。", 2),
        ("你知道这是为什么吗?我不知道!算了。", 3),
        ("read.Me says so", 1),
        (".开始", 1),
        ("该方法优于传统方法SVM.B类样本较多,C类样本较少", 1),
        ("(本文的结论是可靠的.)其余部分将在以后讨论...还有很多工作要做.", 2),
    ],
)
def test_a_text_is_cut_where_its_sentences_end(text: str, count: int) -> None:
    assert len(list(sentences(text))) == count


@pytest.mark.parametrize(
    "text", ["." * 100_000, "…" * 100_000, "a." + '"' * 100_000, "a!?" + "_" * 100_000, ".*" * 50_000]
)
def test_hostile_texts_take_no_longer_than_their_length_asks(text: str) -> None:
    began = time.monotonic()
    assert "".join(sentences(text)) == text
    assert time.monotonic() - began < 5
