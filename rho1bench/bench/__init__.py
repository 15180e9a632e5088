"""Side-by-side measurements: each bench compares a part of rho1bench with the obvious way of doing its work."""
