"""The gate in front of the paid portrait check ``emo-detect-v1``.

>>> import emo_preflight
>>> for result in emo_preflight.probe(["https://example.org/a.jpg"]):
...     print(result["verdict"])

Each function starts the program ``emo-preflight``, which does the work. Results come as they are
done, each a dict of the documented JSON object; ``index`` is a source's place in the input. Memory
stays flat both ways: the program takes sources no faster than results are taken.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, Iterable, Iterator, List, Mapping, Optional, Union

__all__ = ["PreflightError", "Result", "Source", "check", "probe", "program"]

Source = Union[str, Mapping[str, Any]]
"""A URL (for ``probe`` also a path), or a mapping with ``image_url`` and optional ``ratio``,
``image_id`` and fields of your own, which come back under ``input``."""

Result = Dict[str, Any]


class PreflightError(RuntimeError):
    """The program ended without a result for each source. ``status`` is its exit status (negative:
    the signal that killed it), the text its last words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words or f"emo-preflight ended with status {status}")
        self.status = status

    def __reduce__(self) -> tuple[type[PreflightError], tuple[int, str]]:
        # Without it no other process could be told: pickle calls the class with the text alone.
        return type(self), (self.status, str(self))


def probe(sources: Iterable[Source], **options: Any) -> Iterator[Result]:
    """The local stage only: free, needs no key.

    Options are the program's long options with underscores: ``allow_private_network=True``,
    ``concurrency=8``. A wrong one raises :class:`PreflightError` with the program's own words.
    """
    return _run("probe", sources, options)


def check(sources: Iterable[Source], **options: Any) -> Iterator[Result]:
    """The local stage, then the paid call for what passes. The key is taken from the environment
    variable ``DASHSCOPE_API_KEY``. Options as :func:`probe`, and ``ledger``, ``rps``, ``max_calls``
    and so on.

    Stop early by closing the iterator (or leaving the loop): no new call leaves, those under way
    are awaited and written down.
    """
    return _run("check", sources, options)


def program() -> str:
    """The program's path: ``EMO_PREFLIGHT_PROGRAM``, else the one installed with this package, else
    the one on the PATH."""
    named = os.environ.get("EMO_PREFLIGHT_PROGRAM")
    if named:
        return named
    name = "emo-preflight" + (sysconfig.get_config_var("EXE") or "")
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    try:
        folders.append(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    except (AttributeError, KeyError):
        pass
    for folder in folders:
        path = Path(folder or "") / name
        if path.is_file():
            return str(path)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} must be installed or named by EMO_PREFLIGHT_PROGRAM")
    return found


def _arguments(options: Mapping[str, Any]) -> List[str]:
    arguments: List[str] = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        arguments.append(option if value is True else f"{option}={value}")
    return arguments


def _run(command: str, sources: Iterable[Source], options: Mapping[str, Any]) -> Iterator[Result]:
    arguments = [program(), command, "--json", "--input=-", *_arguments(options)]
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    feeder = _Feeder(process, sources)
    words = _Words(process)
    feeder.start()
    words.start()
    results = 0
    ended = False
    stdout = process.stdout
    assert stdout is not None
    try:
        for line in stdout:
            # Counted before it is handed on: who stops here has had it.
            results += 1
            yield json.loads(line)
        ended = True
    finally:
        if not ended:
            _stop(process)
        status = process.wait()
        words.join()
        stdout.close()
        if ended:
            # It may wait for a source that nobody needs any more.
            feeder.join(timeout=None if status in (0, 1, 3) else 1)
    if feeder.error is not None:
        raise feeder.error
    # 4: the run stopped early. Each source has its line all the same, unless it never began.
    is_whole = status in (0, 1, 3) or (status == 4 and 0 < feeder.sent <= results)
    if not is_whole:
        raise PreflightError(status, words.text())


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the program in order, and reads what it still says so that it can."""
    if process.poll() is None:
        try:
            process.send_signal(signal.SIGTERM)
        except ProcessLookupError:
            pass
    assert process.stdout is not None
    for _ in process.stdout:
        pass


class _Feeder(threading.Thread):
    """Writes the sources, as JSON Lines."""

    def __init__(self, process: "subprocess.Popen[bytes]", sources: Iterable[Source]) -> None:
        super().__init__(name="emo-preflight sources", daemon=True)
        self._process = process
        self._sources = sources
        self.sent = 0
        self.error: Optional[BaseException] = None

    def run(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            for source in self._sources:
                row = source if isinstance(source, Mapping) else {"image_url": source}
                stdin.write(json.dumps(row).encode() + b"\n")
                self.sent += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        except BaseException as error:  # what the caller's iterable raises is the caller's
            self.error = error
        finally:
            try:
                stdin.close()
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass


class _Words(threading.Thread):
    """Keeps the program's last words."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        super().__init__(name="emo-preflight words", daemon=True)
        self._process = process
        self._lines: Deque[str] = deque(maxlen=40)

    def run(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        for line in stderr:
            self._lines.append(line.decode(errors="replace").rstrip())
        stderr.close()

    def text(self) -> str:
        return "\n".join(self._lines).strip()
