"""What a recipe must fulfil beyond the types of its fields."""
