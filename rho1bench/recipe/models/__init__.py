"""The schema of a recipe as frozen pydantic models."""
