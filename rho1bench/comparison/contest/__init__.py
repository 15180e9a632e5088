"""A contest of many arms: settings chosen on seeds that never count, then every arm against its baselines."""
