"""Tool-integrated reasoning: the loop, the transcript that it writes, and the replay of recorded ones."""
