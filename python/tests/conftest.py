"""The stand-in service and, where there is one, a PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

import emo_preflight

os.environ.setdefault("DASHSCOPE_API_KEY", "sk-test")


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """The base URL of a stand-in service; it serves its images under /images."""
    process = subprocess.Popen(
        [emo_preflight.program(), "emulator", "--listen", "127.0.0.1:0", "--rps", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        found = re.search(r"http://127\.0\.0\.1:\d+/api/v1", said)
        if found:
            break
    else:
        raise AssertionError(said)
    import threading

    threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
    yield found.group(0)
    process.terminate()
    process.wait()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database on a server of the tests' own."""
    found = os.environ.get("EMO_PREFLIGHT_PG_BIN")
    if found is None and shutil.which("pg_config"):
        found = subprocess.check_output(["pg_config", "--bindir"], text=True).strip()
    if found is None or not (Path(found) / "initdb").exists():
        pytest.skip("NOT RUN: no PostgreSQL server was found (EMO_PREFLIGHT_PG_BIN, pg_config)")
    bin_, folder = Path(found), tempfile.mkdtemp(prefix="emo-preflight-pg-")
    as_user = []
    if os.geteuid() == 0:
        # PostgreSQL does not run as root.
        subprocess.run(["chown", "postgres", folder], check=True)
        as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = f"{folder}/data"

    def run(*arguments: str) -> None:
        # Without pipes: the server keeps what it inherits.
        with open(f"{folder}.log", "ab") as log:
            subprocess.run([*as_user, *arguments], check=True, cwd="/", stdout=log, stderr=log)

    run(str(bin_ / "initdb"), "--auth=trust", "--username=test", "-D", data)
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c max_connections=200"
    run(str(bin_ / "pg_ctl"), "start", "-w", "-D", data, "-l", f"{folder}/log", "-o", options)
    try:
        yield f"postgres://test@127.0.0.1:{port}/postgres"
    finally:
        run(str(bin_ / "pg_ctl"), "stop", "-m", "fast", "-D", data)
        shutil.rmtree(folder, ignore_errors=True)
        os.unlink(f"{folder}.log")
