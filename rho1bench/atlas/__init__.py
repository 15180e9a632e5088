"""The token atlas: a page over the tokens of a corpus, with what models say of each and how rules rank it."""
