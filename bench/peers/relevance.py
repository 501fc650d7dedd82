#!/usr/bin/env python3
"""How well and how fast other programs find real items: the 40 questions of `cloudnest-bench search` over the same files.

    python3 bench/peers/relevance.py DATA_DIR [--rounds 20] [--postgres "host=127.0.0.1 port=5432 user=postgres dbname=postgres"]

DATA_DIR has *.jsonl.gz, an index is made for each. SQLite's FTS5 comes with Python. tantivy: `pip install tantivy`. Postgres: a server that may be
written to, and `psql`. What is missing is named and left out. Every word must be there, in any form that the program's English stemmer knows; the last may be a
beginning where the program can say so (SQLite, Postgres); titles weigh three times as much where weights can be given. SQLite and tantivy run
inside this process: no request, no network, no rights.
"""

import argparse
import gzip
import json
import math
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

QUESTIONS = Path(__file__).parent.parent / "data" / "relevance.tsv"
DEPTH = 10


def judged():
    """(source, question, {number: grade}) for each line."""
    for line in QUESTIONS.read_text().splitlines():
        if line.startswith("#"):
            continue
        source, question, grades = line.split("\t")
        yield source, question, {int(number): float(grade) for number, grade in (pair.split(":") for pair in grades.split(" "))}


def items(directory):
    """{source: [(number, title, description)]}."""
    found = {}
    for path in sorted(directory.glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            read = map(json.loads, lines)
            found[path.name.removesuffix(".jsonl.gz")] = [(item["number"], item["title"], item.get("description") or "") for item in read]
    return found


def ndcg(grades, found):
    """As bench/src/search.rs has it."""
    gain = lambda place, grade: (2**grade - 1) / math.log2(place + 2)
    got = sum(gain(place, grades.get(number, 0)) for place, number in enumerate(found[:DEPTH]))
    best = sum(gain(place, grade) for place, grade in enumerate(sorted(grades.values(), reverse=True)[:DEPTH]))
    return got / best


def words(question):
    return re.findall(r"\w+", question)


class Fts5:
    name = f"SQLite {sqlite3.sqlite_version} FTS5, porter"

    def __init__(self, place):
        self.database = sqlite3.connect(place / "fts5.db")
        self.path = place / "fts5.db"

    def fill(self, source, documents):
        self.database.execute(f"create virtual table {source} using fts5(title, body, tokenize = 'porter unicode61')")
        self.database.executemany(f"insert into {source}(rowid, title, body) values (?, ?, ?)", documents)
        self.database.commit()

    def bytes(self):
        return self.path.stat().st_size

    def ask(self, source, question):
        match = " ".join(f'"{word}"' for word in words(question)) + "*"
        best = f"select rowid from {source} where {source} match ? order by bm25({source}, 3.0, 1.0) limit {DEPTH}"
        return [number for number, in self.database.execute(best, (match,))]


class Tantivy:
    def __init__(self, place):
        import tantivy

        self.tantivy, self.place, self.indexes = tantivy, place / "tantivy", {}
        self.name = f"tantivy {tantivy.__version__.split(',')[0]}, en_stem"

    def fill(self, source, documents):
        schema = self.tantivy.SchemaBuilder()
        schema.add_integer_field("id", stored=True, indexed=True)
        schema.add_text_field("title", tokenizer_name="en_stem")
        schema.add_text_field("body", tokenizer_name="en_stem")
        path = self.place / source
        path.mkdir(parents=True)
        index = self.tantivy.Index(schema.build(), path=str(path))
        writer = index.writer(50_000_000, 1)
        for number, title, body in documents:
            writer.add_document(self.tantivy.Document(id=number, title=title, body=body))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self.indexes[source] = (index, index.searcher())

    def bytes(self):
        return sum(file.stat().st_size for file in self.place.rglob("*") if file.is_file())

    def ask(self, source, question):
        index, searcher = self.indexes[source]
        query = index.parse_query(" AND ".join(words(question)), ["title", "body"], field_boosts={"title": 3.0})
        return [searcher.doc(address)["id"][0] for _, address in searcher.search(query, DEPTH).hits]


class Postgres:
    name = "Postgres tsvector and GIN, over one connection"

    def __init__(self, connection):
        # Answers come line by line; a line of our own ends each.
        command = ["psql", connection, "-qXAt", "-v", "ON_ERROR_STOP=1"]
        self.psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.sources = []

    def run(self, script):
        self.psql.stdin.write(f"{script}\n\\echo .\n")
        self.psql.stdin.flush()
        lines = []
        while (line := self.psql.stdout.readline()) != ".\n":
            if not line:
                raise RuntimeError("psql has ended")
            lines.append(line.rstrip("\n"))
        return lines

    def fill(self, source, documents):
        table = f"found_{source}"
        self.sources.append(table)
        self.run(f"set client_min_messages = error; drop table if exists {table}; create table {table} (id int primary key, title text, body text);")
        quote = lambda text: text.replace("\0", "").replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
        rows = "".join(f"{number}\t{quote(title)}\t{quote(body)}\n" for number, title, body in documents)
        self.run(f"copy {table} from stdin;\n{rows}\\.")
        vector = "setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', left(body, 200000)), 'D')"
        self.run(f"alter table {table} add words tsvector generated always as ({vector}) stored; create index on {table} using gin (words);")
        self.run(f"vacuum analyze {table};")

    def bytes(self):
        return sum(int(self.run(f"select pg_total_relation_size('{table}');")[0]) for table in self.sources)

    def ask(self, source, question):
        table, query = f"found_{source}", " & ".join(words(question)) + ":*"
        best = "order by ts_rank('{0.33, 0.33, 0.33, 1}', words, query) desc"
        asked = f"select id from {table}, to_tsquery('english', '{query}') query where words @@ query {best} limit {DEPTH};"
        return [int(line) for line in self.run(asked)]

    def end(self):
        self.run("".join(f"drop table {table};" for table in self.sources))
        self.psql.stdin.close()
        self.psql.wait()


def measure(program, sources, questions, rounds):
    started = time.perf_counter()
    for source, documents in sources.items():
        program.fill(source, documents)
    index = time.perf_counter() - started
    gains, latencies = [], []
    for turn in range(rounds):
        for source, question, grades in questions:
            asked = time.perf_counter()
            found = program.ask(source, question)
            latencies.append(time.perf_counter() - asked)
            if turn == 0:
                gains.append(ndcg(grades, found))
    latencies.sort()
    at = lambda share: latencies[int(len(latencies) * share)] * 1e3
    print(
        f"{program.name}: indexed in {index:.1f} s, {program.bytes() / 1e6:.1f} MB, {len(latencies) / sum(latencies):.0f} questions/s, "
        f"p50 {at(0.5):.3f} ms, p95 {at(0.95):.3f} ms, nDCG@{DEPTH} {sum(gains) / len(gains):.3f}, {sum(gain > 0 for gain in gains)} found something",
        flush=True,
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--postgres", metavar="CONNECTION")
    given = arguments.parse_args()
    sources, questions = items(given.directory), list(judged())
    print(f"{sum(map(len, sources.values()))} items in {len(sources)} files, {len(questions)} questions, {given.rounds} rounds")
    with tempfile.TemporaryDirectory() as place:
        measure(Fts5(Path(place)), sources, questions, given.rounds)
        try:
            import tantivy  # noqa: F401
        except ImportError:
            print("NOT MEASURED: tantivy (pip install tantivy)")
        else:
            measure(Tantivy(Path(place)), sources, questions, given.rounds)
    if given.postgres is None or shutil.which("psql") is None:
        print("NOT MEASURED: Postgres (--postgres and psql)")
    else:
        program = Postgres(given.postgres)
        measure(program, sources, questions, given.rounds)
        program.end()


if __name__ == "__main__":
    main()
