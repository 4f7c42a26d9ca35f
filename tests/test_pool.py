"""The native library's threads: every numbered task is done once, by whoever comes, however late."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from engine.kernels import native_build

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
#include "pool.h"
#include <vector>
int main() {
    std::vector<std::atomic<int>> done(64);
    for (int turn = 0; turn < 400000; turn++) {
        const int tasks = turn % 2 ? 3 : 40 + turn % 7;
        for (auto &one : done) one.store(0, std::memory_order_relaxed);
        parallel(4, tasks, [&](int task) { done[task].fetch_add(1); });
        for (int task = 0; task < tasks; task++)
            if (done[task].load() != 1) return 1;
    }
}
"""


@pytest.mark.skipif(native_build.find_compiler() is None, reason="no compiler")
def test_each_task_is_done_once_by_more_threads_than_cores(tmp_path: Path) -> None:
    """A helper that was put to sleep between two looks once took a task of the next turn, and it was done twice."""
    source, program = tmp_path / "turns.cpp", tmp_path / "turns"
    source.write_text(PROGRAM, encoding="utf-8")
    flags = ["-std=c++20", "-O2", "-pthread", f"-I{native_build.SOURCES}"]
    subprocess.run([str(native_build.find_compiler()), *flags, str(source), "-o", str(program)], check=True)
    assert subprocess.run([str(program)], timeout=300, check=False).returncode == 0
