"""Records of results: their schema, how they are packed, read, compared and checked."""
