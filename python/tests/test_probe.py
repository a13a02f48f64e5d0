"""`probe` and `check` in front of the stand-in service."""

from __future__ import annotations

import itertools
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time
from typing import Iterator

import pytest

import emo_preflight


def portrait(emulator: str) -> str:
    return emulator.replace("/api/v1", "/images/portrait.jpg")


def test_probe_says_what_a_source_is(emulator: str) -> None:
    sources = [portrait(emulator), {"image_url": "no-url", "image_id": "7", "mine": [1]}]
    results = list(emo_preflight.probe(sources, allow_private_network=True))
    by_index = {result["index"]: result for result in results}
    assert by_index[0]["verdict"] == "eligible"
    assert by_index[0]["image"]["format"] == "jpeg"
    assert by_index[1]["verdict"] == "rejected_local"
    assert by_index[1]["image_id"] == "7"
    assert by_index[1]["input"] == {"mine": [1]}


def test_check_pays_once(emulator: str, tmp_path) -> None:
    options = dict(
        base_url=emulator, ledger=tmp_path / "ledger.db", allow_private_network=True, rps=100
    )
    for from_ledger in (False, True):
        (result,) = emo_preflight.check([portrait(emulator)], **options)
        assert result["verdict"] == "accepted"
        assert result["billing"] == {"images": 1, "certainty": "certain"}
        assert result["from_ledger"] is from_ledger


def test_a_wrong_option_raises_with_the_programs_own_words() -> None:
    with pytest.raises(emo_preflight.PreflightError, match="unexpected argument '--no-such-option'"):
        list(emo_preflight.probe(["a.jpg"], no_such_option=1))
    with pytest.raises(emo_preflight.PreflightError, match="ratio") as raised:
        list(emo_preflight.probe(["a.jpg"], ratio="2:1"))
    assert raised.value.status == 2


def test_no_source_is_no_result() -> None:
    assert list(emo_preflight.probe([])) == []


def test_what_the_iterable_raises_is_raised() -> None:
    def sources() -> Iterator[str]:
        yield "no-url"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(emo_preflight.probe(sources()))


def test_a_consumer_may_stop_early() -> None:
    taken = itertools.count()

    def sources() -> Iterator[str]:
        while True:
            next(taken)
            yield "no-url"

    begun = time.monotonic()
    assert len(list(itertools.islice(emo_preflight.probe(sources()), 10))) == 10
    assert time.monotonic() - begun < 20
    assert next(taken) < 100_000, "it takes no more than it needs"


def test_a_hundred_thousand_sources_in_flat_memory() -> None:
    count = 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = emo_preflight.probe(f"no-url-{n}" for n in range(count))
    assert sum(1 for _ in results) == count
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000, f"{grown} KiB"


def test_a_killed_program_raises_with_its_last_words() -> None:
    def sources() -> Iterator[str]:
        yield "no-url"
        time.sleep(1)
        subprocess.run(["pkill", "-KILL", "-P", str(os.getpid()), "-f", "emo-preflight probe"])
        time.sleep(1)
        yield "no-url"

    with pytest.raises(emo_preflight.PreflightError) as raised:
        list(emo_preflight.probe(sources()))
    assert raised.value.status == -signal.SIGKILL


def test_the_error_reaches_another_process() -> None:
    error = pickle.loads(pickle.dumps(emo_preflight.PreflightError(4, "its last words")))
    assert (type(error), error.status, str(error)) == (
        emo_preflight.PreflightError,
        4,
        "its last words",
    )


def test_a_ledger_that_cannot_be_opened_raises(emulator: str) -> None:
    with pytest.raises(emo_preflight.PreflightError, match="cannot open the ledger") as raised:
        list(emo_preflight.check([portrait(emulator)], ledger="/proc/no/ledger.db"))
    assert raised.value.status == 4


def test_ctrl_c_ends_it_in_order() -> None:
    script = textwrap.dedent(
        """
        import itertools, signal, emo_preflight
        # A shell that starts this in the background has it ignore the signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            for n, _ in enumerate(emo_preflight.probe(itertools.repeat("no-url"))):
                if n == 100:
                    print("under way", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "under way\n"
    # As a terminal does: to the whole group.
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert process.wait(timeout=20) == 0
