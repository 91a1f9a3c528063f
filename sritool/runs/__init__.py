"""A run on disk: its folder, its checkpoints, and the trained model in them."""
