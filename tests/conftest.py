"""What holds for every test: no network but the loopback, a home of its own, one thread; and the models to try."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import itertools
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import toy_checkpoints
from real_models import DEFAULT, GEMMA, KEPT, SMOL, RealModels

from engine.library import Library

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from engine.session import Session
    from tui.store import Store

ROOT = Path(__file__).parent.parent
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")
_homes = itertools.count()
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_configure() -> None:
    """A shell ignores Ctrl-C for what it runs in the background, and all that this starts would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests wait for other processes, and for what is drawn."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and found stays: no search for garbage while it grows, and none among it afterwards."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests of the app are coroutines, each run in an event loop of its own."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    asyncio.run(test(**{name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}))
    return True


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any address beyond this machine fails the test that reaches for it."""

    def guard(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        if name and not name.startswith(LOOPBACK):
            pytest.fail(f"a test reached for the network: {name}")

    def guarded(method: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6}:
                guard(address[0])
            return method(self, address)

        return connect

    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **settings: Any) -> Any:
        guard(host)
        return resolve(host, *arguments, **settings)

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the developer's settings, models or caches, or speaks the developer's language."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_homes))
    home.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith(("LOCAL_LLM_", "XDG_", "LC_", "LANG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("LOCAL_LLM_HOME", str(home / "local-llm"))
    monkeypatch.setenv("HOME", str(home))
    for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny products are slower on many threads, and tests may run beside each other."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LOCAL_LLM_HOME with an imported random chat model `tiny`, which is the default."""
    home = tmp_path_factory.mktemp("tiny-home")
    folder = toy_checkpoints.write_chat_model(tmp_path_factory.mktemp("toy") / "tiny")
    library = Library(home / "models", home / "cache")
    library.import_path(folder, "tiny")
    library.set_default("tiny")
    return home


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of somebody whom modes keep out, which they don't the superuser."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies as slow as a model of use gives them: the tiny one says everything before anybody has looked."""
    from engine.session import Session

    stream = Session.stream

    def slowly(self: Session, *arguments: Any, **settings: Any) -> Iterator[Any]:
        with contextlib.closing(stream(self, *arguments, **settings)) as chunks:
            for chunk in chunks:
                yield chunk
                time.sleep(0.01)

    monkeypatch.setattr(Session, "stream", slowly)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A history of the test's own."""
    from tui.store import Store

    with Store(tmp_path / "app.db") as opened:
        yield opened


@pytest.fixture
def tiny_session(tiny_model_home: Path) -> Iterator[Session]:
    """The model `tiny`, freshly opened on the CPU."""
    from engine.session import Session

    session = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1)
    yield session
    session.close()


@pytest.fixture(params=["plain", "windowed"])
def session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A toy of `toy_sessions`, of each shape, with a float cache as well."""
    import torch
    import toy_sessions

    from engine import kernels

    monkeypatch.setattr(kernels, "cache_dtype", lambda device: torch.float32)
    opened = toy_sessions.open_float(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def real_models() -> RealModels:
    """Session fixtures are made before a test's own home and socket guard: these may pull."""
    return RealModels(KEPT)


@pytest.fixture(scope="session")
def default_model(real_models: RealModels) -> Path:
    """The folder of the model that the one which people get is made of."""
    return real_models.installed(DEFAULT)


@pytest.fixture(scope="session")
def taught_session(default_model: Path) -> Iterator[Session]:
    """The default model as it is pulled: with the adapter that ships."""
    from engine import shipped
    from engine.session import Session

    adapter = shipped.find("tasks")
    assert adapter is not None
    session = Session.open(default_model, device="cpu", adapter=adapter.path)
    yield session
    session.close()


@pytest.fixture(scope="session")
def gemma_model(real_models: RealModels) -> Path:
    return real_models.installed(GEMMA)


@pytest.fixture(scope="session")
def smol_model(real_models: RealModels) -> Path:
    return real_models.installed(SMOL)


@pytest.fixture(scope="session")
def default_source(real_models: RealModels) -> Path:
    """The GGUF file of the default model."""
    return real_models.source(DEFAULT)


@pytest.fixture(scope="session")
def gemma_source(real_models: RealModels) -> Path:
    return real_models.source(GEMMA)


@pytest.fixture(scope="session")
def smol_source(real_models: RealModels) -> Path:
    return real_models.source(SMOL)
