"""Uploads with a client of tus that is not ours, with interruptions, and reads back what became of it."""

import hashlib
import io
import os
import random
import sys
import time

import requests
from tusclient import client

url, token = sys.argv[1], os.environ["CLOUDNEST_DEMO_TOKEN"]
files = url + "/v1/tenants/demo/files"
headers = {"Authorization": "Bearer " + token}
content = random.Random(7).randbytes(5 * (1 << 20) + 4321)


def finished(location):
    state = requests.get(location, headers=headers, timeout=30)
    assert state.status_code == 200, state.text
    assert state.json()["offset"] == len(content), state.text
    return state.json()["file"]


def check(file, name):
    body = requests.get(f"{files}/{file}/content", headers=headers, timeout=30)
    assert body.status_code == 200 and body.content == content, (body.status_code, len(body.content))
    about = requests.get(f"{files}/{file}", headers=headers, timeout=30).json()
    assert about["sha256"] == hashlib.sha256(content).hexdigest(), about
    assert about["name"] == name, about


tus = client.TusClient(files + "/uploads", headers=headers)

# With interruptions: some pieces, then another client goes on from what the server says.
for checksums in (False, True):
    name = "with sums.bin" if checksums else "plain.bin"
    metadata = {"filename": name, "filetype": "application/octet-stream"}
    first = tus.uploader(file_stream=io.BytesIO(content), chunk_size=700_001, metadata=metadata, upload_checksum=checksums)
    first.upload(stop_at=2 * 700_001)
    assert first.offset == 2 * 700_001, first.offset
    location = first.url
    # The line breaks in the midst of a piece: less comes than was announced.
    broken = requests.Session()

    def half():
        yield content[first.offset : first.offset + 100_000]
        raise ConnectionError("the line is gone")

    try:
        broken.patch(
            location,
            data=half(),
            headers={
                **headers,
                "Tus-Resumable": "1.0.0",
                "Upload-Offset": str(first.offset),
                "Content-Type": "application/offset+octet-stream",
            },
            timeout=30,
        )
        sys.exit("the broken upload was answered")
    except (requests.exceptions.RequestException, ConnectionError):
        pass
    # What came before it broke off is kept, soon.
    deadline = time.monotonic() + 30
    while requests.get(location, headers=headers, timeout=30).json()["offset"] < first.offset + 100_000:
        assert time.monotonic() < deadline, "what came before it broke off is not there"
        time.sleep(0.05)
    again = tus.uploader(file_stream=io.BytesIO(content), url=location, chunk_size=1_234_567, upload_checksum=checksums)
    assert again.offset == first.offset + 100_000, (again.offset, first.offset)
    again.upload()
    assert again.offset == len(content)
    check(finished(location), name)

# Ended without a file.
given_up = tus.uploader(file_stream=io.BytesIO(content), chunk_size=1 << 20, metadata={"filename": "given up"})
given_up.upload_chunk()
gone = requests.delete(given_up.url, headers={**headers, "Tus-Resumable": "1.0.0"}, timeout=30)
assert gone.status_code == 204, gone.text
assert requests.head(given_up.url, headers={**headers, "Tus-Resumable": "1.0.0"}, timeout=30).status_code == 404

told = requests.options(files + "/uploads", timeout=30)
assert told.status_code == 204 and "checksum" in told.headers["Tus-Extension"], told.headers
print("tus: uploads with interruptions come back byte for byte")
