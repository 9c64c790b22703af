"""A language model behind an OpenAI-compatible endpoint, which puts statistics into words. Whatever goes wrong there is a `NoWords`.

Keep out: what the statistics are, and what is written where there are no words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

_SYSTEM = (
    "You describe a dataset of Argo float casts to oceanographers in three to six plain English sentences: region, time span, casts, parameters,"
    " depth range, flagged shares and notable findings. Use only the numbers that you are given, state the number of casts in digits, and write"
    " neither headings nor lists."
)
_SHORTEST, _LONGEST = 40, 2_000
_LARGEST_ANSWER = 1 << 20
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|<[a-zA-Z/!]|https?://|```")


class NoWords(Exception):
    """The endpoint did not answer in time, failed, or answered nonsense; the message says which."""


@dataclass(frozen=True)
class Words:
    """The endpoint, the model and the key (none where the endpoint asks for none)."""

    url: str
    model: str
    key: str | None
    timeout_s: float

    def describe(self, statistics: Mapping[str, Any]) -> str:
        """The statistics in words; nothing else is sent.

        Raises
        ------
        NoWords
            There are none that can be used.
        """
        asked = {
            "model": self.model,
            "temperature": 0,
            "max_tokens": 500,
            "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": json.dumps(statistics)}],
        }
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            with httpx.Client(timeout=self.timeout_s, trust_env=False) as client:
                said = _answer(client, f"{self.url.rstrip('/')}/chat/completions", asked, headers)
            text = json.loads(said)["choices"][0]["message"]["content"]
        except httpx.HTTPError as error:
            raise NoWords(f"the language model does not answer: {type(error).__name__}") from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise NoWords("the language model answers something else than a completion") from error
        return _sensible(text, int(statistics["casts"]))


def _answer(client: httpx.Client, url: str, asked: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    """The body of an answer; a longer one than any description is cut off."""
    with client.stream("POST", url, json=asked, headers=dict(headers)) as answer:
        if answer.status_code != httpx.codes.OK:
            raise NoWords(f"the language model answers {answer.status_code}")
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > _LARGEST_ANSWER:
                raise NoWords("the language model does not stop")
    return body


def _sensible(text: Any, casts: int) -> str:
    """The text in one line, if it is a description: of some length, without markup, and with the number of casts in it."""
    if not isinstance(text, str):
        raise NoWords("the language model answers no text")
    words = " ".join(text.split())
    if not _SHORTEST <= len(words) <= _LONGEST or _ODD.search(text):
        raise NoWords("the language model answers no description")
    if str(casts) not in re.findall(r"\d+", words.replace(",", "")):
        raise NoWords("the language model does not say how many casts there are")
    return words
