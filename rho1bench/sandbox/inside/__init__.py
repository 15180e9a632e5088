"""What runs inside the isolation: the fork server, the supervisor of each program, the program and its tests.

Imports nothing of the caller's side; the two exchange one request and one report for each program.
"""
