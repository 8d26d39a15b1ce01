"""What is said: operations, commands, names, vectors and ids. Imports nothing of the other wings."""
