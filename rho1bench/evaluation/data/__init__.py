"""Where the rows of the real test sets come from: pins, files, and what is wrong with a file that is not pinned so."""
