"""The engine on the broker's own disk: the ops file, its segments and how they are read."""
