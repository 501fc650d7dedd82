#!/usr/bin/env python3
"""Searches of other programs over the documents and questions that `cloudnest-bench search-speed --write DIR` wrote.

    python3 bench/peers/search.py DIR [--runs 3] [--postgres "host=127.0.0.1 port=5432 user=postgres dbname=postgres"]

SQLite's FTS5 comes with Python. tantivy: `pip install tantivy`. Postgres: a server that may be written to, and `psql`. What is missing is named and left
out. Everything asks for the ten best of two words that must both be there, one question after the other. SQLite and tantivy run inside this
process: no request, no network, no rights; Postgres is asked through one connection of psql.
"""

import argparse
import csv
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path


def report(name, runs):
    """One line: medians over the runs of (seconds to index, bytes, latencies in seconds)."""
    runs.sort(key=lambda run: sum(run[2]))
    index, size, latencies = runs[len(runs) // 2]
    latencies = sorted(latencies)
    at = lambda share: latencies[int(len(latencies) * share)] * 1e3
    print(
        f"{name}: indexed in {index:.1f} s, {size / 1e6:.0f} MB, {len(latencies) / sum(latencies):.0f} questions/s, "
        f"p50 {at(0.5):.3f} ms, p95 {at(0.95):.3f} ms, p99 {at(0.99):.3f} ms",
        flush=True,
    )


def timed(questions, ask):
    ask(questions[0])
    latencies = []
    for question in questions:
        started = time.perf_counter()
        ask(question)
        latencies.append(time.perf_counter() - started)
    return latencies


def fts5(documents, questions, place):
    path = place / "fts5.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("create virtual table documents using fts5(body)")
        started = time.time()
        database.executemany("insert into documents(rowid, body) values (?, ?)", documents)
        database.commit()
        index = time.time() - started
        database.execute("pragma wal_checkpoint(truncate)")
        best = "select rowid from documents where documents match ? order by rank limit 10"
        return index, path.stat().st_size, timed(questions, lambda q: database.execute(best, (q,)).fetchall())


def plain_tantivy(documents, questions, place):
    import tantivy

    path = place / "tantivy"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    schema = tantivy.SchemaBuilder()
    schema.add_integer_field("id", stored=True, indexed=True)
    schema.add_text_field("body", stored=False)
    index = tantivy.Index(schema.build(), path=str(path))
    started = time.time()
    writer = index.writer(200_000_000, 1)
    for number, body in documents:
        writer.add_document(tantivy.Document(id=number, body=body))
    writer.commit()
    writer.wait_merging_threads()
    took = time.time() - started
    index.reload()
    searcher = index.searcher()
    ask = lambda q: searcher.search(index.parse_query(" AND ".join(q.split()), ["body"]), 10).hits
    return took, sum(file.stat().st_size for file in path.iterdir()), timed(questions, ask)


def postgres(connection, directory, questions):
    def psql(script, *options):
        command = ["psql", connection, "-qXAt", "-v", "ON_ERROR_STOP=1", *options]
        return subprocess.run(command, input=script, text=True, capture_output=True, check=True).stdout

    psql("drop table if exists documents; create table documents (id int primary key, body text not null);")
    psql(f"\\copy documents from '{directory}/docs.csv' csv\n")
    started = time.time()
    psql(
        "alter table documents add words tsvector generated always as (to_tsvector('english', body)) stored;"
        "create index words on documents using gin (words);"
    )
    index = time.time() - started
    psql("vacuum analyze documents;")
    size = int(psql("select pg_total_relation_size('documents');"))
    ask = "".join(
        f"select id, ts_rank(words, query) r from documents, plainto_tsquery('english', '{question}') query "
        "where words @@ query order by r desc limit 10;\n"
        for question in questions
    )
    lines = psql("\\timing on\n" + ask).splitlines()
    latencies = [float(line.split()[1]) / 1e3 for line in lines if line.startswith("Time: ")]
    psql("drop table documents;")
    return index, size, latencies


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--postgres", metavar="CONNECTION")
    given = arguments.parse_args()
    with open(given.directory / "docs.csv", newline="") as file:
        documents = [(int(number), body) for number, body in csv.reader(file)]
    questions = (given.directory / "questions.txt").read_text().split("\n")[:-1]
    print(f"{len(documents)} documents, {len(questions)} questions, median of {given.runs} runs")
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        report(f"SQLite {sqlite3.sqlite_version} FTS5", [fts5(documents, questions, place) for _ in range(given.runs)])
        try:
            import tantivy
        except ImportError:
            print("NOT MEASURED: tantivy (pip install tantivy)")
        else:
            runs = [plain_tantivy(documents, questions, place) for _ in range(given.runs)]
            report(f"tantivy-py {tantivy.__version__ if hasattr(tantivy, '__version__') else ''}".strip(), runs)
    if given.postgres is None or shutil.which("psql") is None:
        print("NOT MEASURED: Postgres (--postgres and psql)")
    else:
        directory = os.path.abspath(given.directory)
        report("Postgres tsvector and GIN", [postgres(given.postgres, directory, questions) for _ in range(given.runs)])


if __name__ == "__main__":
    main()
