"""The code of our own selection rules, by what they read: a reference, the model itself, an earlier self, positions."""
