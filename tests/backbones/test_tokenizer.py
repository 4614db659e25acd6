"""Our tokenizer against two that share nothing with it: a Rust one, and byte-pair encoding written out slowly."""

import gzip
import html
import json
from copy import deepcopy
from functools import cache
from importlib.resources import files
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import ftfy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models

from tests import small
from tests.small import tokenizer
from zsad import methods
from zsad.backbones.tokenizer import Tokenizer, clean
from zsad.errors import WeightsError
from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, compose

regex = pytest.importorskip("regex", reason="OpenAI's pattern is written for this library")

CLASSES = ("metal nut", "PCB 4", "chest X-ray", "Gießform", "transistor's leg", "O'Brien's 3½-inch “zipper”")
ENGLISH = """Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do.
It's the caterpillar's; they've said we're, I'm, he'd, you'll, don't, CAN'T, rock'n'roll, 'tis, ''s, 'sss, y'all'd've
A 3-year-old bought 1234567890 items for $12.99 (20% off!) at 09:41 on 2024-02-29, i.e. 1e-5 of £3½ or 2²=4.
Inspect-the_weld; no cracks/pores >0.5mm??!! ... --- ***[OK]*** {x|y} `code` ~tilde~ ^caret^ \\back\\slash\\ a+b=c
THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG. the quick brown fox jumps over the lazy dog
pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism xqzjkvw aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
http://example.com/a?b=c&d=e#f user@example.com C:\\Users\\x #hashtag @mention <b>bold</b> &amp; &lt; &notit; &;
print("hello, world") if __name__ == '__main__' else None; def f(x): return x**2 // 3""".splitlines()
WORLD = (
    "naïve café crème brûlée Ångström ÅNGSTRÖM señor Übergröße ŒUVRE œuvre fiancée doppelgänger",
    "Straße STRASSE ẞ ﬁne oﬀice ĳ Ǆ ǆ ﬃ",
    "Ελληνικά ΟΔΥΣΣΕΥΣ Σίσυφος ΑΣ άΆ",
    "İstanbul DIYARBAKIR ılık I İ i ı",
    "Привет, мир! Дефект поверхности ЩЁ",
    "缺陷检测 表面に傷がある金属ナット 결함 있는 나사 𠮷野家 カタカナ ｶﾀｶﾅ ＡＢＣ１２３",
    "שלום עולם مرحبا بالعالم ١٢٣ हिन्दी में परीक्षण ภาษาไทย",
    "🔧🔩 crack 😀👍🏽 👩\u200d🔬 🇩🇪 ❤️ ☠ ♻️ ①②③ Ⅷ ½ ⅔ x² H₂O",
    "e\u0301 a\u0308\u0323 n\u0303o \u0301alone Z̷a̸l̵g̶o̴",
    "tab\there new\nline cr\r\nlf",
    "nbsp\xa0em\u2003thin\u2009ideo\u3000zero\u200bwidth\u2060joiner\ufeff vt\x0bff\x0cnel\x85ls\u2028x",
    "  leading and trailing   \t  many      spaces",
    "“curly” ‘quotes’ don’t it’s he’ll ‚low‘ „German“ «guillemets» … – — ′ ″",
    "mojibake: cafÃ© â€œquotedâ€\x9d schÃ¶n l’Ã©tÃ©",
    "&eacute;t&eacute; &EACUTE; &#233; &#x1F600; &amp;eacute; &amp;amp;amp;lt; &nbsp;x &quot;q&quot; &hellip; a&b AT&T",
    "\x00nul\x07bell\x1bescape\x1b[31mred\x7fdel\x1cfs",
    "'ſ ſ'ſt Kelvin K ﬅ",
)
STRINGS = sorted(
    {
        "",
        " ",
        "'",
        *ENGLISH,
        *WORLD,
        *(word for line in [*ENGLISH, *WORLD] for word in line.split()),
        *(prompt for c in CLASSES for prompt in compose([*NORMAL_STATES, *ANOMALOUS_STATES], TEMPLATES, c)[:: len(c)]),
        *compose([*NORMAL_STATES, *ANOMALOUS_STATES], TEMPLATES, "metal nut"),
        *(
            prompt.format(c)
            for c in CLASSES
            for name in ("clip", "clip-ac")
            for prompts in methods.get(name).templates
            for prompt in prompts
        ),
        " ".join(ENGLISH),
        "word " * 100,
        "x" * 500,
    }
)
# Start and end tokens in text have a test of their own.
LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="|"), max_size=40)
WORDY = st.text(st.sampled_from("aAsStTvVeErRlLdDmM'’ 12.,!-é&;#"), max_size=30)


def reference_clean(text: str) -> str:
    """OpenAI's ``basic_clean`` and ``whitespace_clean``, then ``lower``, as in CLIP's ``simple_tokenizer.py``."""
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return regex.sub(r"\s+", " ", text).strip().lower()


PATTERN = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
BYTES = {byte: chr(byte) for byte in PRINTABLE} | {byte: chr(256 + n) for n, byte in enumerate(OTHERS)}
MERGES = [
    tuple(line.split())
    for line in gzip.decompress((files("zsad.backbones") / "clip_merges.txt.gz").read_bytes()).decode().split("\n")
    if line
]
RANKS = {pair: rank for rank, pair in enumerate(MERGES)}
IDS = {
    token: number
    for number, token in enumerate(
        [
            *(BYTES[b] for b in PRINTABLE + OTHERS),
            *(BYTES[b] + "</w>" for b in PRINTABLE + OTHERS),
            *map("".join, MERGES),
        ]
    )
}


def slow_bpe(cleaned: str) -> list[int]:
    """Merge the pair of lowest rank, one at a time, until none is left."""
    ids = []
    for word in PATTERN.findall(cleaned):
        symbols = [BYTES[byte] for byte in word.encode()]
        symbols[-1] += "</w>"
        while len(symbols) > 1:
            rank, place = min((RANKS.get(pair, inf), place) for place, pair in enumerate(pairwise(symbols)))
            if rank == inf:
                break
            symbols[place : place + 2] = ["".join(symbols[place : place + 2])]
        ids += [IDS[symbol] for symbol in symbols]
    return ids


def expected(cleaned: str) -> list[int]:
    return [49406, *slow_bpe(cleaned)[:75], 49407]


@cache
def rust() -> Any:
    """Another author's tokenizer, in another language. It does not clean text and splits "'ſ" by case."""
    return pytest.importorskip("instant_clip_tokenizer", reason="published for Python 3.11 only").Tokenizer()


def test_there_are_several_hundred_strings() -> None:
    assert len(STRINGS) > 500


def test_equals_the_rust_tokenizer() -> None:
    for text in (text for text in STRINGS if "ſ" not in text):
        assert tokenizer().encode(text) == [49406, *rust().encode(reference_clean(text))[:75], 49407], repr(text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(LETTERS, WORDY))
def test_equals_the_rust_tokenizer_on_any_text(text: str) -> None:
    if "ſ" not in reference_clean(text):
        assert tokenizer().encode(text) == [49406, *rust().encode(reference_clean(text))[:75], 49407]


def test_equals_slow_byte_pair_encoding() -> None:
    for text in STRINGS:
        assert tokenizer().encode(text) == expected(reference_clean(text)), repr(text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(LETTERS, WORDY))
def test_equals_slow_byte_pair_encoding_on_any_text(text: str) -> None:
    assert tokenizer().encode(text) == expected(reference_clean(text))


@settings(max_examples=300, deadline=None)
@given(st.one_of(LETTERS, WORDY, st.text(st.characters(max_codepoint=127), max_size=40)))
def test_cleaning_equals_the_published_steps(text: str) -> None:
    assert clean(text) == reference_clean(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("  A \t\n Metal\u00a0 NUT\u3000", "a metal nut"),
        ("it’s “fine”", 'it\'s "fine"'),
        ("cafÃ©", "café"),
        ("e\u0301", "é"),
        ("ＡＢＣ ﬁ", "abc fi"),
        ("a &amp;amp;lt; b", "a < b"),
        ("&EACUTE;t&eacute;", "été"),
        ("x &amp;nbsp;y", "x y"),
        ("AT&T", "at&t"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("İ", "i̇"),
        ("a\x00b\x1b[31mc", "abc"),
        ("\ud800", "\ufffd"),
    ],
)
def test_cleaning_is_pinned(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_ids_known_from_openai() -> None:
    assert tokenizer().encode("a photo of a cat") == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert len(tokenizer()) == 49408


def test_an_end_token_in_the_text_is_the_end_token_as_in_openais() -> None:
    assert tokenizer().encode("a <|endoftext|> a") == [49406, 320, 49407, 320, 49407]


def test_empty_text_is_start_and_end() -> None:
    assert tokenizer().encode("") == [49406, 49407]


@pytest.mark.parametrize("words", [75, 76, 200])
def test_overlong_text_is_cut_to_the_context_and_keeps_both_ends(words: int) -> None:
    ids = tokenizer().encode("cat " * words)
    assert ids == [49406, *[2368] * 75, 49407]


def test_text_that_just_fits_is_not_cut() -> None:
    assert tokenizer().encode("cat " * 74 + "dog") == [49406, *[2368] * 74, 1929, 49407]


def test_context_is_the_towers() -> None:
    short = Tokenizer(tokenizer().backend, 8)
    assert short.encode("cat " * 20) == [49406, *[2368] * 6, 49407]


def test_tokenizer_json_of_our_own_gives_the_same(tmp_path: Path) -> None:
    tokenizer().backend.save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.from_tokenizer_json(tmp_path / "tokenizer.json", 77)
    assert [loaded.encode(text) for text in STRINGS] == [tokenizer().encode(text) for text in STRINGS]


def test_tokenizer_json_of_transformers_gives_the_same(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="it writes the file that Hugging Face folders bring")
    vocabulary = {**IDS, "<|startoftext|>": 49406, "<|endoftext|>": 49407}
    theirs = transformers.CLIPTokenizerFast(vocab=vocabulary, merges=MERGES)
    theirs(["padded and cut"], padding="max_length", max_length=5, truncation=True)
    theirs.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"] is not None
    loaded = Tokenizer.from_tokenizer_json(tmp_path / "tokenizer.json", 77)
    # Theirs splits contractions by case.
    texts = [text for text in STRINGS if "ſ" not in text]
    assert [loaded.encode(text) for text in texts] == [tokenizer().encode(text) for text in texts]


def test_vocabulary_without_an_end_token_is_refused() -> None:
    backend = Backend(models.BPE({"<|startoftext|>": 0, "a": 1}, []))
    with pytest.raises(WeightsError, match=r"start and end tokens; got no <\|endoftext\|>"):
        Tokenizer(backend, 77)


@pytest.mark.parametrize("content", [b"", b"{", b'{"model": null}', b"\xff\xfe"])
def test_damaged_tokenizer_json_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        Tokenizer.from_tokenizer_json(tmp_path / "tokenizer.json", 77)


def test_merges_that_make_a_token_twice_are_refused(tmp_path: Path) -> None:
    """Every token after it would have another id than the text tower knows it by."""
    (tmp_path / "merges.txt.gz").write_bytes(gzip.compress(b"a b\nab c\na b\n"))
    with pytest.raises(WeightsError, match="a token stands there twice"):
        Tokenizer.from_merges(tmp_path / "merges.txt.gz", 77)


def test_the_length_counts_ids_that_are_never_used(tmp_path: Path) -> None:
    words = json.loads(tokenizer().backend.to_str())
    before = len(tokenizer())
    assert before == 49408
    words["added_tokens"][-1]["id"] = words["model"]["vocab"]["<|endoftext|>"] = 60000
    (tmp_path / "tokenizer.json").write_text(json.dumps(words))
    assert len(Tokenizer.from_tokenizer_json(tmp_path / "tokenizer.json", 77)) == 60001


def test_a_copy_of_a_clip_shares_it() -> None:
    clip = small.frozen()
    again = deepcopy(clip)
    assert again.tokenizer is clip.tokenizer
    assert again.vision.class_embedding is not clip.vision.class_embedding
