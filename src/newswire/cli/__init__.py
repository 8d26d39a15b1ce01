"""The command line: click commands, and the menus as pure machines `(state, line) -> (state, text, action)`."""
