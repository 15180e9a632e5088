"""The heart: token scores, the choice of tokens, the selective loss and the store of reference scores (section 2.2)."""
