"""What is due: where a reader begins, what follows, what people see counted. Pure over the state."""
