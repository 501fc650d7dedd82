"""What schemathesis cannot know: that a stream of lines is valid line by line, which fields a record has, what waits for long, and which
token is its own."""

import itertools
import json
import os
import re

import jsonschema_rs
import schemathesis

NDJSON = "application/x-ndjson"


@schemathesis.check
def lines_conform(ctx, response, case):
    """Each line of a stream is of the schema that the document gives for a line, or a problem that ended it."""
    media_type = (response.headers.get("content-type") or [""])[0].split(";")[0]
    if media_type != NDJSON or response.status_code != 200:
        return
    document = case.operation.schema.raw_schema
    content = document["paths"][case.operation.path][case.method.lower()]["responses"]["200"]["content"]
    wanted = content[NDJSON]["schema"]
    problem = {"$ref": "#/components/schemas/Problem"}
    validator = jsonschema_rs.validator_for({"anyOf": [wanted, problem], "components": document["components"]})
    for number, line in enumerate(response.content.split(b"\n"), start=1):
        if not line.strip():
            continue
        value = json.loads(line)
        for error in validator.iter_errors(value):
            raise AssertionError(f"line {number} is not what the document says: {error.message}: {line[:300]!r}")


@schemathesis.serializer(NDJSON)
def lines(context, value):
    """A body of lines, from whatever was thought of: a text as it is, anything else as one line."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode() + b"\n"


@schemathesis.serializer("application/offset+octet-stream")
def octets(context, value):
    """Bytes of an upload, from whatever was thought of."""
    return value if isinstance(value, bytes) else str(value).encode()


# Records of the collection `things`, which the script makes.
THINGS = [{}, {"text": "a"}, {"number": 0.1, "flag": True}, {"day": "2026-11-25", "text": ""}, {"any": {"k": [1, None]}}]


@schemathesis.hook
def map_body(context, body):
    """Which fields a record has is said by its collection's schema, not by the document: some bodies get fields that fit."""
    if not isinstance(body, dict) or not re.search(r"/(records/|batch$)", context.operation.path):
        return body
    parts = body.get("operations") if "operations" in body else [body]
    for place, part in enumerate(parts if isinstance(parts, list) else []):
        if isinstance(part, dict) and isinstance(part.get("fields"), dict):
            choice = (len(json.dumps(body, default=str)) + place) % (len(THINGS) + 2)
            if choice < len(THINGS):
                part["fields"] = dict(THINGS[choice])
    return body


@schemathesis.hook
def before_call(context, case, kwargs):
    """What all requests are made with stays: the tenant `demo`, and its token."""
    path = case.path_parameters or {}
    if case.method.upper() != "DELETE":
        return
    if case.operation.path == "/v1/tenants/{tenant}" and path.get("tenant") == "demo":
        path["tenant"] = "not-demo"
    if case.operation.path.endswith("/tokens/{id}") and path.get("id") == os.environ["CLOUDNEST_DEMO_TOKEN_ID"]:
        path["id"] = "00000000-0000-7000-8000-000000000000"


def is_number(value):
    return re.fullmatch(r"[1-9][0-9]{0,17}", str(value)) is not None


@schemathesis.hook
def map_query(context, query):
    """Positions that are not there yet are waited for (504 after ten seconds), and a follower of events stays until it has had as many as it
    asked for: positions that are there, and few events, or the time would be gone for that."""
    if isinstance(query, dict):
        if re.fullmatch(r"at-least:[0-9]+", str(query.get("consistency", ""))):
            query["consistency"] = "at-least:1"
        if is_number(query.get("wait")) and int(query["wait"]) <= 60:
            query["wait"] = 1
        if context.operation.path.endswith("/events"):
            for name, most in [("after", 3), ("limit", 4)]:
                if is_number(query.get(name)):
                    query[name] = int(query[name]) % most + 1
            query.setdefault("limit", 3)
    return query


KEYS = itertools.count()


@schemathesis.hook
def map_headers(context, headers):
    """See above; and a key is never that of an earlier request, which would be answered with that one's reply: a record or token that "was
    just created" may be gone."""
    if isinstance(headers, dict):
        if is_number(headers.get("Last-Event-ID")):
            headers["Last-Event-ID"] = "1"
        if re.fullmatch(r"[!-~]([ -~]{0,198}[!-~])?", str(headers.get("Idempotency-Key", ""))):
            headers["Idempotency-Key"] += f"-{next(KEYS)}"
    return headers


# Which version of it is wanted is thought of anew, and what was just made has one.
VERSIONED = re.compile(r"/(links|content|restore|versions/\{version\})$")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A tenant that "was just created" is none where schemathesis takes its `id` for its slug, and a file or record that was lacks the version
    that schemathesis thinks of. Here, for `--checks all` turns on again what the configuration turns off for an operation."""
    if type(failure).__name__ != "EnsureResourceAvailability":
        return True
    path = case.operation.path
    return not (path == "/v1/tenants/{tenant}" or (VERSIONED.search(path) and b"there is no version" in response.content))
