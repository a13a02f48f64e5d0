"""The gate on a real Spark: executors are processes of their own, and its tasks fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("pyarrow")
if shutil.which("java") is None:
    pytest.skip("NOT RUN: Spark needs Java", allow_module_level=True)

import emo_preflight  # noqa: E402
import emo_preflight.spark  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

PASSING = 500


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    package = str(Path(emo_preflight.__file__).parent.parent)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # All on loopback, the executors too.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["SPARK_LOCAL_HOSTNAME"] = "localhost"
    builder = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.task.maxFailures", "4")
        .config("spark.speculation", "true")
        .config("spark.executorEnv.PYTHONPATH", package)
        .config("spark.executorEnv.DASHSCOPE_API_KEY", "sk-test")
        .config("spark.executorEnv.EMO_PREFLIGHT_PROGRAM", emo_preflight.program())
    )
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def options(emulator: str, postgres: str) -> Dict[str, Any]:
    return dict(
        ledger=postgres, base_url=emulator, allow_private_network=True, rps=200, run="spark"
    )


@pytest.fixture(scope="module")
def portraits(emulator: str) -> Iterator[List[str]]:
    """URLs of images of their own: an image is its bytes, and each URL's are its own."""
    with urllib.request.urlopen(emulator.replace("/api/v1", "/images/portrait.jpg")) as answer:
        portrait = answer.read()

    class Images(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            # The URL as a comment behind SOI (ITU T.81, B.2.4.5).
            name = self.path.encode()
            comment = b"\xff\xfe" + (len(name) + 2).to_bytes(2, "big") + name
            body = portrait[:2] + comment + portrait[2:]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Images)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_port}/?n={n}" for n in range(PASSING)]
    server.shutdown()


def billed(postgres: str) -> int:
    said = subprocess.run(
        [emo_preflight.program(), "spend", "--ledger", postgres, "--json"],
        check=True,
        capture_output=True,
    )
    return json.loads(said.stdout)["total"]["images_at_most"]


def test_every_row_comes_back_and_each_image_is_paid_once(spark, options, portraits, postgres):
    passing = portraits
    # 1,400 distinct ones, of which 500 pass, and a third of all rows twice.
    distinct = passing + [f"no-url-{n}" for n in range(900)]
    rows = [(n, url, None if n % 2 else "mine") for n, url in enumerate(distinct)]
    rows += [(n + 10_000, distinct[n], None) for n in range(599)] + [(99_999, None, None)]
    df = spark.createDataFrame(rows, "id bigint, url string, note string").repartition(8)
    before = billed(postgres)
    out = emo_preflight.spark.check(df, "url", **options)
    assert dict(out.dtypes)["billing"] == "struct<images:bigint,certainty:string>"
    assert dict(out.dtypes)["note"] == "string"
    found = out.collect()
    assert len(found) == len(rows) == 2_000
    assert {row.id for row in found} == {row[0] for row in rows}
    for row in found:
        if row.url in passing:
            assert row.verdict == "accepted", row
            assert len(row.face_bbox) == 4
        else:
            assert row.verdict == "rejected_local", row
            assert row.reasons[0].code in ("not_http_url", "bad_input"), row
    assert billed(postgres) - before == PASSING
    # The same job again: no call.
    again = emo_preflight.spark.check(df, "url", **options)
    assert again.where(F.col("verdict") == "accepted").where(~F.col("from_ledger")).count() == 0
    assert billed(postgres) - before == PASSING


def test_tasks_that_fail_once_and_an_executor_that_dies_pay_nothing_twice(
    spark, options, portraits, postgres, tmp_path
):
    passing = [f"{url}&again" for url in portraits[:200]]
    df = spark.createDataFrame([(url,) for url in passing], "url string").repartition(4)
    before = billed(postgres)
    out = emo_preflight.spark.check(df, "url", **options)
    folder = str(tmp_path)

    def fail_once(batches):
        import os
        from pyspark import TaskContext

        context = TaskContext.get()
        for batch in batches:
            yield batch
        # After all was paid for: Spark does the whole task again.
        mark = f"{folder}/{context.partitionId()}"
        if not os.path.exists(mark):
            open(mark, "w").close()
            if context.partitionId() == 0:
                os.kill(os.getppid(), 9)
            raise RuntimeError("once")

    out = out.mapInArrow(fail_once, out.schema)
    found = out.collect()
    assert len(found) == len(passing)
    assert {row.verdict for row in found} <= {"accepted", "failed"}
    accepted = [row for row in found if row.verdict == "accepted"]
    assert len(accepted) >= len(passing) * 0.8
    for row in found:
        if row.verdict == "failed":
            assert row.reasons[0].code == "billing_unknown", row
    assert billed(postgres) - before <= len(passing)


def test_a_dataframe_used_twice_and_empty_partitions(spark, options, portraits, postgres):
    passing = [f"{url}&twice" for url in portraits[:20]]
    df = spark.createDataFrame([(url,) for url in passing], "url string").repartition(16)
    before = billed(postgres)
    out = emo_preflight.spark.check(df, "url", **options)
    # Both sides of the join compute it.
    both = out.select("url", "verdict").join(out.select("url"), "url")
    assert both.where("verdict = 'accepted'").count() == len(passing)
    assert billed(postgres) - before == len(passing)
    empty = spark.createDataFrame([], "url string")
    assert emo_preflight.spark.check(empty, "url", **options).count() == 0


def test_a_wrong_option_and_a_wrong_column_say_so(spark, options):
    df = spark.createDataFrame([("no-url",)], "url string")
    with pytest.raises(ValueError, match="there must be a column 'link'"):
        emo_preflight.spark.check(df, "link", **options)
    with pytest.raises(ValueError, match="name it with run="):
        emo_preflight.spark.check(df, "url", ledger="postgres://h/d", max_calls=3)
    with pytest.raises(ValueError, match="verdict"):
        emo_preflight.spark.check(df.withColumn("verdict", F.lit(1)), "url", **options)
    with pytest.raises(Exception, match="unexpected argument '--no-such-option'"):
        emo_preflight.spark.check(df, "url", no_such_option=1, **options).collect()
