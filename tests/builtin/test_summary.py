from __future__ import annotations

import pytest

from venom_spore.builtin.summary import SENTENCES_READ_MAX, sentences, summarise, words

ENGLISH = (
    "The river flooded the old town on Monday. Bakers gave away bread. "
    "The flooded river damaged forty houses in the old town. A dog slept. "
    "After the flood, the town asked for help with the damaged houses near the river. Tickets cost two pounds."
)
POLISH = (
    "W poniedziałek rzeka zalała stare miasto. Piekarze rozdawali chleb. "
    "Rzeka, która zalała stare miasto, uszkodziła czterdzieści domów. Pies spał. "
    "Miasto prosi o pomoc dla uszkodzonych domów, które zalała rzeka. Bilety kosztują dwa złote."
)
JAPANESE = (
    "月曜日に川が旧市街を水浸しにした。パン屋はパンを配った。"
    "川の洪水は旧市街の四十軒の家を壊した。犬は寝ていた。洪水の後、旧市街は壊れた家のために助けを求めた。"
)


@pytest.mark.parametrize(
    ("text", "central", "aside"),
    [(ENGLISH, "damaged", "dog"), (POLISH, "zalała", "Pies"), (JAPANESE, "旧市街", "犬")],
    ids=["English", "Polish", "Japanese"],
)
def test_the_central_sentences_are_taken_word_for_word_in_their_order(text: str, central: str, aside: str) -> None:
    found = summarise(text, 2)
    assert len(found) == 2
    assert all(central in sentence for sentence in found[1:])
    assert aside not in "".join(found)
    assert [text.index(sentence) for sentence in found] == sorted(text.index(sentence) for sentence in found)
    assert summarise(text, 2) == found


def test_a_short_text_is_its_own_summary() -> None:
    assert summarise("One thing is said. And another one.", 3) == ["One thing is said.", "And another one."]
    assert summarise("", 3) == []
    assert summarise("word", 3) == []


def test_a_sentence_that_repeats_another_is_left_out() -> None:
    repeated = "The flooded river damaged forty houses in the old town."
    found = summarise(f"{repeated} {ENGLISH} {repeated} {repeated}", 3)
    assert found.count(repeated) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("He said “Stop!” Then he left.", ["He said “Stop!”", "Then he left."]),
        ("A heading\nA line. Another", ["A heading", "A line.", "Another"]),
        ("It costs 3.50 e.g. here. Yes.", ["It costs 3.50 e.g. here.", "Yes."]),
        ("Dr. Kowalski met J. Smith. They spoke.", ["Dr. Kowalski met J. Smith.", "They spoke."]),
        ("To jest np. kot. Śpi.", ["To jest np. kot.", "Śpi."]),
        ("Das ist z. B. so. Ja.", ["Das ist z. B. so.", "Ja."]),
        ("¿Qué? ¡Sí! Bien.", ["¿Qué?", "¡Sí!", "Bien."]),
        ("これは文です。次です！終わり", ["これは文です。", "次です！", "終わり"]),
        ("Привет. Как дела?", ["Привет.", "Как дела?"]),
        ("a.b.c www.example.com/x?y=1 end", ["a.b.c www.example.com/x?y=1 end"]),
        ("... ", ["..."]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, found: list[str]) -> None:
    assert list(sentences(text)) == found


def test_words_are_those_of_the_script() -> None:
    assert list(words("Größe, STRASSE und Straße!")) == ["grösse", "strasse", "und", "strasse"]
    assert list(words("旧市街 ok")) == ["旧市", "市街", "ok"]
    assert list(words("don't 42")) == ["don", "t", "42"]


@pytest.mark.parametrize(
    "text",
    [
        "." * 200_000,
        "!?" * 100_000,
        "a. " * 70_000,
        "A b. " * 40_000,
        "\n" * 200_000,
        "x" * 200_000,
        " ".join(f"Word{i} other{i} same." for i in range(20_000)),
        ". " * 100_000,
        "。" * 200_000,
        '."' * 100_000,
    ],
    ids=["dots", "marks", "letters", "pairs", "lines", "one word", "many", "spaced", "ideographic", "quoted"],
)
@pytest.mark.timeout(20)
def test_no_text_takes_for_ever(text: str) -> None:
    assert len(summarise(text, 3)) <= 3


def test_of_a_long_text_the_beginning_is_judged() -> None:
    text = " ".join(f"Sentence number {i} of the long text." for i in range(SENTENCES_READ_MAX * 2))
    assert summarise(f"{text} The very last sentence is never read.", 1) != ["The very last sentence is never read."]
