"""What a test asks of a server of S3 besides what the program does: the first argument says what, the second where."""

import json
import sys

BUCKET = "cloudnest"
what, endpoint, *rest = sys.argv[1:]


def client(service, key="nobody", secret="nothing"):
    import boto3

    names = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", **names)


def serve():
    """The server itself, until its input ends. A line there has all objects be two days older; it is answered by how many they are."""
    from datetime import timedelta
    from urllib.parse import urlparse

    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    address = urlparse(endpoint)
    server = ThreadedMotoServer(address.hostname, address.port, verbose=False)
    server.start()
    for _ in sys.stdin:
        count = 0
        for account in list(s3_backends.values()):
            for backend in list(account.values()):
                for bucket in list(backend.buckets.values()):
                    for key in list(bucket.keys.values()):
                        key.last_modified -= timedelta(days=2)
                        count += 1
        print(count, flush=True)
    server.stop()


def setup():
    """A bucket, and a user with a key who may do all in it. Four requests, which the server lets everybody make."""
    client("s3").create_bucket(Bucket=BUCKET)
    iam = client("iam")
    iam.create_user(UserName="cloudnest")
    objects = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [objects]})
    iam.put_user_policy(UserName="cloudnest", PolicyName="objects", PolicyDocument=policy)
    key = iam.create_access_key(UserName="cloudnest")["AccessKey"]
    print(key["AccessKeyId"], key["SecretAccessKey"])


def names(key, secret, folder):
    """The objects below folders of this name, a line each; manifests are left out."""
    pages = client("s3", key, secret).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    for page in pages:
        for found in page.get("Contents", []):
            name = found["Key"]
            if f"/{folder}/" in name and not name.endswith("/manifest"):
                print(name)


def turn(key, secret, *names):
    """Turns one bit of the last byte of each object over: twice is as before."""
    s3 = client("s3", key, secret)
    for name in names:
        body = bytearray(s3.get_object(Bucket=BUCKET, Key=name)["Body"].read())
        body[-1] ^= 1
        s3.put_object(Bucket=BUCKET, Key=name, Body=bytes(body))


{"serve": serve, "setup": setup, "names": names, "turn": turn}[what](*rest)
