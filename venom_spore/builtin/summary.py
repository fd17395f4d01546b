"""Picks the sentences that say most of a text, in any language, without a model.

LexRank (Erkan and Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text Summarization", Journal of
Artificial Intelligence Research 22, 2004): sentences are nodes, their likeness (cosine of tf-idf) is the weight of
the edge between them, and the most central ones in the sense of PageRank are taken, in the order of the text. One
that repeats another is left out. No list of stop words and no grammar is needed: words that stand everywhere weigh
nothing. Scripts without spaces between words are taken two characters at a time.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

SENTENCES_READ_MAX = 400
SENTENCE_CHARS_MAX = 1000
_ALIKE = 0.7
_DAMPING = 0.85
_ROUNDS = 30
_WORD = re.compile(r"\w+")
# Each run of marks is looked at from its beginning only, so that a text of nothing but dots costs no more than another.
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]{0,3}(?=\s)|[。！？｡]++[”’」』）]{0,3}")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
# Words that end with a dot and no sentence, in the languages of our first readers; one letter alone is one anyway.
_ABBREVIATIONS = frozenset({
    "dr", "mr", "mrs", "ms", "prof", "st", "vs", "etc", "ca", "cf", "jr", "sr", "fig", "bzw", "usw", "nr", "mgr",
    "inż", "np", "tzn", "tzw", "godz", "art", "vol", "approx", "núm", "av", "env",
})  # fmt: skip

Vector = dict[str, float]


def summarise(text: str, count: int) -> list[str]:
    """At most `count` sentences of a text, in its order; of a long text the first 400 are judged."""
    found = list(_first(sentences(text)))
    if len(found) <= count:
        return found
    vectors = _vectors([list(words(sentence)) for sentence in found])
    likeness = _likeness(vectors)
    ranks = _rank(likeness, len(found))
    chosen: list[int] = []
    # Of equals the earlier: texts say first what matters.
    for place in sorted(range(len(found)), key=lambda place: (-round(ranks[place], 9), place)):
        if len(chosen) < count and all(likeness[place].get(other, 0.0) < _ALIKE for other in chosen):
            chosen.append(place)
    return [found[place] for place in sorted(chosen)]


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text; a line that ends without a mark (a heading, a list's entry) is one too."""
    for line in text.splitlines():
        start = 0
        for mark in _END.finditer(line):
            if _ends_here(line, start, mark):
                yield line[start : mark.end()].strip()
                start = mark.end()
        if line[start:].strip():
            yield line[start:].strip()


def words(sentence: str) -> Iterator[str]:
    """The words of a sentence in small letters; pairs of characters where a script has no spaces."""
    for word in _WORD.findall(sentence.casefold()):
        if len(word) > 2 and _UNSPACED.search(word):
            yield from (word[place : place + 2] for place in range(len(word) - 1))
        else:
            yield word


def _first(found: Iterator[str]) -> Iterator[str]:
    """The sentences worth judging: with at least two words, not endless, not too many."""
    taken = 0
    for sentence in found:
        if len(sentence) <= SENTENCE_CHARS_MAX and len(set(words(sentence))) > 1:
            taken += 1
            yield sentence
        if taken == SENTENCES_READ_MAX:
            return


def _ends_here(line: str, start: int, mark: re.Match[str]) -> bool:
    """Whether a mark ends a sentence: not within "e.g. this", "J. Smith" or "Dr. Who"."""
    following = line[mark.end() : mark.end() + 3].lstrip()[:1]
    if following.islower():
        return False
    if mark[0] != ".":
        return True
    before = line[max(start, mark.start() - 12) : mark.start()]
    last = re.split(r"[\s.(]", before)[-1]
    return not (len(last) == 1 and last.isalpha()) and last.casefold() not in _ABBREVIATIONS


def _vectors(texts: list[list[str]]) -> list[Vector]:
    """Each sentence by its words' tf-idf, of length 1; words of more than half of the sentences say nothing."""
    holders = Counter(word for text in texts for word in set(text))
    most = max(2, len(texts) // 2)
    weight = {word: math.log(len(texts) / count) for word, count in holders.items() if count <= most}
    found = []
    for text in texts:
        vector = {word: count * weight[word] for word, count in Counter(text).items() if word in weight}
        length = math.sqrt(sum(value * value for value in vector.values())) or 1.0
        found.append({word: value / length for word, value in vector.items()})
    return found


def _likeness(vectors: list[Vector]) -> list[dict[int, float]]:
    """The cosine of each pair that shares a word."""
    holders: dict[str, list[tuple[int, float]]] = defaultdict(list)
    found: list[dict[int, float]] = [defaultdict(float) for _ in vectors]
    for place, vector in enumerate(vectors):
        for word, value in vector.items():
            for other, others in holders[word]:
                found[place][other] += value * others
                found[other][place] += value * others
            holders[word].append((place, value))
    return found


def _rank(likeness: list[dict[int, float]], count: int) -> list[float]:
    """PageRank over the likeness, by repeated multiplication."""
    totals = [sum(row.values()) for row in likeness]
    ranks = [1.0 / count] * count
    for _ in range(_ROUNDS):
        ranks = [
            (1 - _DAMPING) / count
            + _DAMPING * sum(ranks[other] * value / totals[other] for other, value in row.items() if totals[other])
            for row in likeness
        ]
    return ranks
