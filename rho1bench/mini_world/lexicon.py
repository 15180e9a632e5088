"""Word lists of the mini world; shared by its problems, its web noise and its general fixture rows.

Knows nothing of problems or documents. Everything here was written for this project.
"""

from __future__ import annotations

PEOPLE: tuple[str, ...] = ("Ann", "Ben", "Eva", "Dan", "Kim", "Leo", "Mia", "Sam", "Tom", "Zoe", "Max", "Ida")

# What people count.
THINGS: tuple[str, ...] = (
    "pens", "eggs", "cups", "nuts", "keys", "hats", "toys", "figs", "books", "cards", "coins", "balls",
)  # fmt: skip

DAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

MONTHS: tuple[str, ...] = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

VARIABLES: tuple[str, ...] = tuple("xynkmtabcpqrsuvwz")

# Everyday words for chatter, advertisements and off-topic sentences.
NOUNS: tuple[str, ...] = (
    "garden", "kitchen", "laptop", "holiday", "weather", "printer", "camera", "river", "window", "battery",
    "coffee", "ticket", "bridge", "winter", "phone", "server", "lawyer", "dentist", "mattress", "guitar",
    "football", "recipe", "castle", "carpet", "engine", "hotel", "island", "market", "museum", "novel",
    "planet", "rocket", "saddle", "tunnel", "valley", "wallet", "yogurt", "zebra", "basket", "candle",
)  # fmt: skip
VERBS: tuple[str, ...] = (
    "loves", "hates", "fixed", "bought", "sold", "wants", "needs", "broke", "found", "lost",
    "missed", "painted", "watched", "cleaned", "moved", "ordered", "returned", "tried", "forgot", "opened",
)  # fmt: skip
ADJECTIVES: tuple[str, ...] = (
    "old", "cheap", "broken", "lovely", "slow", "green", "quiet", "famous", "modern", "tiny",
    "heavy", "strange", "local", "huge", "bright", "cold", "simple", "secret", "golden", "noisy",
)  # fmt: skip
