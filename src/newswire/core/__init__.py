"""What a broker decides: pure, without clock, socket, thread, file or chance. Imports `newswire.errors` and nothing above."""
