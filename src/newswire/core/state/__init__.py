"""What is held: the fold of the operations, and what it keeps. Imports `core.model` only."""
