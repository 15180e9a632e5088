"""Word lists of the mini world; shared by its problems, its web noise and its general fixture rows.

First floor of the mini world: knows nothing of problems or documents. Everything here was written for this project.
"""

from __future__ import annotations

# (name, subject pronoun): problems refer back to a person once, as in the real word-problem sets.
PEOPLE: tuple[tuple[str, str], ...] = (
    ("Tom", "he"), ("Ana", "she"), ("Sam", "he"), ("Mia", "she"), ("Ben", "he"), ("Lea", "she"),
    ("Max", "he"), ("Eva", "she"), ("Dan", "he"), ("Ida", "she"), ("Leo", "he"), ("Amy", "she"),
    ("Jim", "he"), ("Kim", "she"), ("Rob", "he"), ("Zoe", "she"),
)  # fmt: skip

# (plural, singular) of things that people count.
THINGS: tuple[tuple[str, str], ...] = (
    ("pens", "pen"), ("cards", "card"), ("books", "book"), ("eggs", "egg"), ("coins", "coin"),
    ("apples", "apple"), ("shells", "shell"), ("stamps", "stamp"), ("balls", "ball"), ("nuts", "nut"),
    ("stones", "stone"), ("cakes", "cake"), ("toys", "toy"), ("plums", "plum"), ("beads", "bead"),
    ("kites", "kite"),
)  # fmt: skip

# (plural, singular) of things that hold other things.
HOLDERS: tuple[tuple[str, str], ...] = (
    ("boxes", "box"), ("bags", "bag"), ("jars", "jar"), ("packs", "pack"), ("trays", "tray"), ("rows", "row"),
)  # fmt: skip

DAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

MONTHS: tuple[str, ...] = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

VARIABLES: tuple[str, ...] = ("x", "y", "n", "k", "m", "t")

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
