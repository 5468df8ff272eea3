"""Stems, stopwords and language detection."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.text.stemming import (
    detect_language,
    inflection_stem,
    lowercase,
    stem,
    stopwords,
)
from llm_optimizers.text.word_lists import languages
from support.odd_letters import ODD_TEXTS

SUFFIXES = ("", "s", "al", "ally", "ized", "izing", "ization", "ational", "ed", "ing")


@pytest.mark.parametrize(
    ("word", "language", "expected"),
    [
        ("development", "english", "develop"),
        ("wohnungen", "german", "wohnung"),
        ("ciudades", "spanish", "ciudad"),
        ("площади", "russian", "площад"),
        ("площади", "english", "площад"),
        ("windows", "russian", "window"),
        ("東京", "english", "東京"),
        ("", "english", ""),
    ],
)
def test_a_stem_is_that_of_the_language_or_script(word: str, language: str, expected: str) -> None:
    assert stem(word, language) == expected


@pytest.mark.parametrize(
    "forms",
    [
        "city cities",
        "stop stops stopped stopping",
        "take takes taking",
        "activate activates activated activating",
        "cancel canceled cancelled cancelling",
        "business businesses",
        "possibility possibilities",
        "preparation preparations",
        "developer developers",
    ],
)
def test_inflections_of_a_word_have_one_stem(forms: str) -> None:
    assert len(set(map(inflection_stem, forms.split()))) == 1


@pytest.mark.parametrize(
    "words",
    [
        "develop developer development",
        "prepare preparation",
        "authenticate authenticator authentication",
        "intern internal international",
        "organ organize organization",
        "author authority",
        "busy business",
        "universe university",
        "hop hope",
        "new news",
    ],
)
def test_derived_words_keep_stems_of_their_own(words: str) -> None:
    found = list(map(inflection_stem, words.split()))
    assert len(set(found)) == len(found)


@given(st.text() | ODD_TEXTS)
def test_any_text_has_a_stem_and_a_language(text: str) -> None:
    for language in languages():
        assert isinstance(stem(text, language), str)
    assert isinstance(inflection_stem(text), str)
    assert detect_language(text.split()) in languages()


@given(ODD_TEXTS, ODD_TEXTS)
def test_a_part_is_in_lower_case_as_in_the_whole(one: str, other: str) -> None:
    assert lowercase(one) + lowercase(other) == lowercase(one + other)
    assert lowercase(lowercase(one)) == lowercase(one)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("english", "how do i reset my password"),
        ("english", "reset password"),
        ("english", "the cast of die hard"),
        ("english", "go back to default settings"),
        ("english", "was leonardo da vinci a painter"),
        ("german", "wie kann ich mein passwort zurücksetzen"),
        ("french", "comment puis je changer mon mot de passe"),
        ("spanish", "dónde está la estación de tren"),
        ("italian", "come posso cambiare la mia password"),
        ("portuguese", "como posso mudar a minha senha"),
        ("dutch", "hoe kan ik mijn wachtwoord wijzigen"),
        ("swedish", "hur kan jag ändra mitt lösenord"),
        ("danish", "hvordan kan jeg ændre min adgangskode og hvornår bliver den slettet"),
        ("norwegian", "hvordan kan jeg endre passordet mitt og hva blir dere enige om"),
        ("finnish", "miten voin vaihtaa sen ja missä se on"),
        ("polish", "jak mogę zmienić moje hasło"),
        ("turkish", "bu ve o nerede"),
        ("russian", "как я могу изменить мой пароль"),
        ("arabic", "كيف يمكن تغيير هذه الكلمة في الحساب"),
        ("hindi", "मैं अपना पासवर्ड कैसे बदल सकता हूँ"),
    ],
)
def test_a_language_is_detected_by_its_stopwords(language: str, text: str) -> None:
    assert detect_language(text.split()) == language


def test_a_language_without_a_list_has_no_stopwords() -> None:
    assert "the" in stopwords("english")
    assert stopwords("klingon") == frozenset()


def test_threads_share_no_stemmer() -> None:
    words = [f"{start}{end}" for start in ("relat", "nation", "organ") for end in SUFFIXES]
    expected = [stem.__wrapped__(word) for word in words]
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(lambda: [stem.__wrapped__(word) for word in words]) for _ in range(40)]
        assert all(each.result() == expected for each in found)


def test_an_installed_pystemmer_changes_no_stem(tmp_path: Path) -> None:
    (tmp_path / "Stemmer.py").write_text(
        "def algorithms(): return []\n"
        "class Stemmer:\n"
        "    def __init__(self, language): pass\n"
        "    def stemWord(self, word): return 'other'\n"
    )
    program = "from llm_optimizers.text.stemming import stem; print(stem('nations'))"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "nation\n"
