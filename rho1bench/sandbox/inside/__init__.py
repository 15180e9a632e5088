"""What runs on the far side: the warm parent, the keeper of each program, and the program's own process.

Knows nothing of the caller's side; the only words between the two are one request and one report for each program.
"""
