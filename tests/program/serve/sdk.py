"""The official Python SDK, unchanged but for its base URL (DASHSCOPE_HTTP_BASE_URL).

Reads one JSON object a line, makes its call, and writes what the SDK returned as JSON.
"""

import json
import sys

import dashscope
from dashscope.client.base_api import BaseApi


def detect(url, ratio):
    return BaseApi.call(
        model="emo-detect-v1",
        task_group="aigc",
        task="image2video",
        function="face-detect",
        input={"image_url": url},
        ratio=ratio,
    )


def chat(model):
    answers = dashscope.Generation.call(
        model=model, messages=[{"role": "user", "content": "hi"}], stream=True
    )
    for answer in answers:
        yield answer


for line in sys.stdin:
    wish = json.loads(line)
    answers = chat(wish["chat"]) if "chat" in wish else [detect(wish["url"], wish["ratio"])]
    for answer in answers:
        said = {
            "status": answer.status_code,
            "request_id": answer.request_id,
            "code": answer.code,
            "message": answer.message,
            "output": answer.output,
            "usage": answer.usage,
        }
        print(json.dumps(said, default=dict), flush=True)
