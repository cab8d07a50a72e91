"""`text_stats_executor`: how long a text is and what it talks about. Pure functions; the border is in `app.py`."""

import re
from collections import Counter

import inputs as read

ID = "text_stats_executor"

WORD = re.compile(r"\w+(?:['’-]\w+)*")
SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)")
WORDS_PER_MINUTE = 200

EXAMPLE = {"text": "The cat sat. The cat slept.", "top": 2, "stop_words": ["the"]}

DESCRIPTION = {
    "name": "Text statistics",
    "description": "Counts characters, words, sentences and lines, and gives the most frequent terms. Needs no grant.",
    "tags": ["text", "statistics", "words"],
    "examples": [EXAMPLE, {"text": "one two two", "min_length": 3}],
    "input_schema": {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "The text; Unicode."},
            "top": {
                "type": "integer", "minimum": 0, "maximum": 1000, "default": 10,
                "description": "How many terms to list.",
            },
            "min_length": {
                "type": "integer", "minimum": 1, "maximum": 100, "default": 1,
                "description": "Shorter words are no terms.",
            },
            "stop_words": {
                "type": "array", "items": {"type": "string"}, "default": [],
                "description": "Words that are no terms.",
            },
        },
        "required": ["text"],
    },
    "output_schema": {
        "type": "object",
        "properties": {
            "characters": {"type": "integer"},
            "words": {"type": "integer"},
            "unique_words": {"type": "integer"},
            "sentences": {"type": "integer"},
            "lines": {"type": "integer"},
            "average_word_length": {"type": "number"},
            "reading_seconds": {"type": "integer", "description": f"At {WORDS_PER_MINUTE} words a minute."},
            "top_terms": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"term": {"type": "string"}, "count": {"type": "integer"}},
                    "required": ["term", "count"],
                },
            },
        },
        "required": [
            "characters", "words", "unique_words", "sentences", "lines",
            "average_word_length", "reading_seconds", "top_terms",
        ],
    },
}


def execute(inputs: dict) -> dict:
    text = read.text(inputs, "text")
    top = read.whole(inputs, "top", 10, 0, 1000)
    min_length = read.whole(inputs, "min_length", 1, 1, 100)
    stop_words = {word.casefold() for word in read.texts(inputs, "stop_words")}

    words = [word.casefold() for word in WORD.findall(text)]
    terms = Counter(word for word in words if len(word) >= min_length and word not in stop_words)
    # Equal counts in alphabetical order, so that the same text always gives the same answer.
    ranked = sorted(terms.items(), key=lambda item: (-item[1], item[0]))[:top]
    return {
        "characters": len(text),
        "words": len(words),
        "unique_words": len(set(words)),
        "sentences": sentences(text, words),
        "lines": len(text.splitlines()),
        "average_word_length": round(sum(map(len, words)) / len(words), 2) if words else 0,
        "reading_seconds": -(-len(words) * 60 // WORDS_PER_MINUTE),
        "top_terms": [{"term": term, "count": count} for term, count in ranked],
    }


def sentences(text: str, words: list[str]) -> int:
    """Sentences by their end marks; words after the last mark (or without any) are one more."""
    if not words:
        return 0
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    rest = text[ends[-1]:] if ends else text
    return len(ends) + (1 if WORD.search(rest) else 0)
