"""Does SQS calls with boto3: a JSON request a line on stdin, its answer on stdout.

request: {"endpoint", "access", "secret", "action", "params"}; bytes are {"$bytes": base64};
an empty access key means: do not sign.
answer:  {"result": {...}} | {"code", "status", "message"} | {"refused": "why"}
The first line out, before any request, says who is here and where its model of SQS is.
"""
import base64
import json
import os
import sys

import boto3
import botocore
from botocore import UNSIGNED, xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CLIENTS = {}


def client(endpoint, access, secret):
    key = (endpoint, access, secret)
    if key not in CLIENTS:
        config = Config(retries={"max_attempts": 0}, signature_version=None if access else UNSIGNED)
        CLIENTS[key] = boto3.client("sqs", region_name="us-east-1", endpoint_url=endpoint, config=config,
                                    aws_access_key_id=access or None, aws_secret_access_key=secret or None)
    return CLIENTS[key]


def decode(value):
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        return {k: decode(v) for k, v in value.items()}
    if isinstance(value, list):
        return [decode(v) for v in value]
    return value


def encode(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(repr(value))


def answer(request):
    call = getattr(client(request["endpoint"], request["access"], request["secret"]), xform_name(request["action"]), None)
    if call is None:
        return {"refused": "this boto3 does not know the action"}
    try:
        result = call(**decode(request["params"]))
    except ClientError as e:
        error = e.response["Error"]
        return {"code": error["Code"], "message": error.get("Message", ""), "status": e.response["ResponseMetadata"]["HTTPStatusCode"]}
    except (BotoCoreError, ValueError) as e:
        return {"refused": "%s: %s" % (type(e).__name__, e)}
    result.pop("ResponseMetadata", None)
    return {"result": result}


model = os.path.join(os.path.dirname(botocore.__file__), "data", "sqs", "2012-11-05", "service-2.json")
print(json.dumps({"version": boto3.__version__, "model": model}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=encode), flush=True)
