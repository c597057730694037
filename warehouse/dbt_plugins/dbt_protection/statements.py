"""What a text of SQL would replace or empty, from its tokens: whatever scripting stands around a statement."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from sql_guard.refusal import Refusal
from sql_guard.text import CLOSING, DIALECT, OPENING, refuse_two_readings, regions
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.simplify import simplify
from sqlglot.tokens import Token, TokenType

MAY_REPLACE = re.compile(r"\b(create|drop|truncate|alter|load|delete|merge|execute|call)\b", re.IGNORECASE)
REMARK = re.compile(r"\A\s*/\*(?:[^*]|\*(?!/))*\*/")
TEMPORARY_NUMBER = re.compile(r"(?<=__dbt_tmp)\d{12}\b")
TABLE_KINDS = {"EXTERNAL", "SNAPSHOT", "MATERIALIZED"}
QUOTED = {TokenType.STRING, TokenType.IDENTIFIER}
OF_A_NAME = re.compile(r"[\w$*.-]+")
DEEPEST = 4


class Words(BigQuery.Tokenizer):
    """Every word of a script; sqlglot takes EXECUTE, CALL, BEGIN and what follows for one piece of text."""

    COMMANDS = set()  # noqa: RUF012


@dataclass(frozen=True)
class Replacement:
    """One way in which a table would lose all its rows."""

    way: str
    name: tuple[str, ...] = ()
    """Parts of the name as written, from one to three; empty when it cannot be known from the text."""
    is_dataset: bool = False
    is_call: bool = False
    """Whether the name is of a procedure, whose text says more."""


def replacements(sql: str, depth: int = 0) -> tuple[Replacement, ...]:
    """@raises Refusal for a text that cannot be read in one way only."""
    # Only the remark in front of a statement differs from build to build, and the number of a table that is nobody's.
    return _replacements(TEMPORARY_NUMBER.sub("", REMARK.sub("", sql, count=1)), depth)


@lru_cache(maxsize=1024)
def _replacements(sql: str, depth: int) -> tuple[Replacement, ...]:
    if not MAY_REPLACE.search(sql):
        return ()
    try:
        tokens = Words(dialect=DIALECT).tokenize(sql)
    except SqlglotError as error:
        raise Refusal(str(error)) from error
    refuse_two_readings(sql, tokens, *regions(sql))
    return tuple(Scan(sql, tokens, depth).found())


class Scan:
    def __init__(self, text: str, tokens: list[Token], depth: int) -> None:
        self.text = text
        self.tokens = tokens
        self.depth = depth
        self.words = [None if token.token_type in QUOTED else token.text.upper() for token in tokens]
        self.levels = list(accumulate((level_change(token) for token in tokens), initial=0))
        self.temporary = {
            self.name_at(self.after_exists(at + 2))[-1:]
            for at, word in enumerate(self.words)
            if word in ("TEMP", "TEMPORARY") and self.word(at + 1) == "TABLE"
        }

    def word(self, at: int) -> str | None:
        return self.words[at] if 0 <= at < len(self.words) else None

    def found(self) -> Iterator[Replacement]:
        readers = {
            "CREATE": self.create,
            "DROP": self.drop,
            "TRUNCATE": self.truncate,
            "ALTER": self.alter,
            "LOAD": self.load,
            "DELETE": self.delete,
            "MERGE": self.merge,
            "EXECUTE": self.execute,
            "CALL": self.call,
        }
        for at, word in enumerate(self.words):
            if word in readers:
                for each in readers[word](at):
                    # A temporary table hides one of the same name, and is nobody's.
                    if not (len(each.name) == 1 and each.name in self.temporary):
                        yield each

    def create(self, at: int) -> Iterator[Replacement]:
        if (self.word(at + 1), self.word(at + 2)) == ("OR", "REPLACE"):
            yield from self.table(at, at + 3)

    def drop(self, at: int) -> Iterator[Replacement]:
        if self.word(at + 1) == "SCHEMA":
            name = self.name_at(self.after_exists(at + 2))
            yield Replacement("DROP SCHEMA", name, is_dataset=True)
        else:
            yield from self.table(at, at + 1)

    def table(self, at: int, kind: int) -> Iterator[Replacement]:
        while self.word(kind) in TABLE_KINDS:
            kind += 1
        if self.word(kind) in ("TABLE", "VIEW") and self.word(kind + 1) != "FUNCTION":
            way = " ".join(str(word) for word in self.words[at : kind + 1])
            yield Replacement(way, self.name_at(self.after_exists(kind + 1)))

    def truncate(self, at: int) -> Iterator[Replacement]:
        if self.word(at + 1) == "TABLE":
            yield Replacement("TRUNCATE TABLE", self.name_at(at + 2))

    def alter(self, at: int) -> Iterator[Replacement]:
        if self.word(at + 1) != "TABLE":
            return
        start = self.after_exists(at + 2)
        words = self.words[start : self.end_of(at)]
        for first, second in zip(words, words[1:], strict=False):
            if (first, second) == ("RENAME", "TO"):
                yield Replacement("ALTER TABLE RENAME TO", self.name_at(start))
        if "EXPIRATION_TIMESTAMP" in words:
            yield Replacement("ALTER TABLE SET OPTIONS (expiration_timestamp)", self.name_at(start))

    def load(self, at: int) -> Iterator[Replacement]:
        if (self.word(at + 1), self.word(at + 2)) == ("DATA", "OVERWRITE"):
            yield Replacement("LOAD DATA OVERWRITE", self.name_at(at + 3))

    def delete(self, at: int) -> Iterator[Replacement]:
        of_merge = self.word(at - 1) == "THEN" and self.word(at + 1) in ("WHEN", ";", None)
        if of_merge:
            return
        end = self.end_of(at)
        where = self.find("WHERE", at, end)
        if where is None or not self.bounds_rows(where + 1, end):
            start = at + 2 if self.word(at + 1) == "FROM" else at + 1
            yield Replacement("DELETE of every row", self.name_at(start))

    def merge(self, at: int) -> Iterator[Replacement]:
        end = self.end_of(at)
        start = at + 2 if self.word(at + 1) == "INTO" else at + 1
        # A CASE has its own WHEN; only MERGE's stand before MATCHED.
        whens = [
            index
            for index in range(at, end)
            if self.word(index) == "WHEN" and "MATCHED" in self.words[index + 1 : index + 3]
        ]
        on = self.find("ON", at, whens[0] if whens else end)
        for index, following in zip(whens, [*whens[1:], end], strict=True):
            then = following - 2
            if (self.word(then), self.word(then + 1)) != ("THEN", "DELETE"):
                continue
            condition = self.find("AND", index, then)
            bounded = condition is not None and self.bounds_rows(condition + 1, then)
            by_source = "SOURCE" in self.words[index : condition or then]
            if not by_source and on is not None:
                bounded = bounded or self.bounds_rows(on + 1, whens[0])
            if not bounded:
                yield Replacement("MERGE that deletes every row", self.name_at(start))

    def execute(self, at: int) -> Iterator[Replacement]:
        if self.word(at + 1) != "IMMEDIATE":
            return
        literal = self.tokens[at + 2] if at + 2 < len(self.tokens) else None
        alone = self.word(at + 3) in (None, ";", "INTO", "USING") and self.end_of(at) >= at + 3
        if literal is None or literal.token_type != TokenType.STRING or not alone or self.depth >= DEEPEST:
            yield Replacement("EXECUTE IMMEDIATE of a text that is put together while it runs")
        else:
            for each in replacements(literal.text, self.depth + 1):
                yield Replacement(f"EXECUTE IMMEDIATE: {each.way}", each.name, each.is_dataset, each.is_call)

    def call(self, at: int) -> Iterator[Replacement]:
        name = self.name_at(at + 1)
        if name and name[0].upper() != "BQ":
            yield Replacement(f"CALL {'.'.join(name)}", name, is_call=True)

    def after_exists(self, at: int) -> int:
        """Past IF EXISTS, IF NOT EXISTS."""
        if self.word(at) != "IF":
            return at
        return at + (3 if self.word(at + 1) == "NOT" else 2)

    def name_at(self, at: int) -> tuple[str, ...]:
        """The name that begins there: `a.b.c`, a.`b`, my-project.a.b; with or without space around its dots."""
        name = ""
        for index in range(at, len(self.tokens)):
            token = self.tokens[index]
            text = token.text if token.token_type == TokenType.IDENTIFIER else self.text[token.start : token.end + 1]
            apart = index > at and token.start > self.tokens[index - 1].end + 1
            if apart and not (text.startswith(".") or name.endswith(".")):
                break
            if token.token_type != TokenType.IDENTIFIER and not OF_A_NAME.fullmatch(text):
                break
            name += text
        return tuple(part for part in name.split(".") if part)

    def end_of(self, at: int) -> int:
        """Where the statement ends: at a semicolon, or at the bracket that closes what it stands in."""
        for index in range(at, len(self.tokens)):
            if self.tokens[index].token_type == TokenType.SEMICOLON or self.levels[index + 1] < self.levels[at]:
                return index
        return len(self.tokens)

    def find(self, word: str, start: int, end: int) -> int | None:
        """Where a word stands outside of brackets."""
        level = self.levels[start]
        return next((at for at in range(start, end) if self.word(at) == word and self.levels[at] == level), None)

    def bounds_rows(self, start: int, end: int) -> bool:
        """Whether a condition can be false for a row: one that is true whatever the columns hold bounds nothing."""
        try:
            (tree,) = DIALECT.parser().parse(self.tokens[start:end], self.text)
        except (SqlglotError, ValueError):
            return False
        return tree is not None and simplify(tree.transform(without_truisms)).find(exp.Column) is not None


def without_truisms(node: exp.Expression) -> exp.Expression:
    """`x is not null` and `x = x` are as good as true."""
    is_not_null = isinstance(node, exp.Not) and isinstance(node.this, exp.Is) and isinstance(node.this.expression, exp.Null)
    is_itself = isinstance(node, (exp.EQ, exp.GTE, exp.LTE)) and node.this == node.expression
    return exp.true() if is_not_null or is_itself else node


def level_change(token: Token) -> int:
    return (token.token_type in OPENING) - (token.token_type in CLOSING)
