"""How much one caller or all together may have: rates, room, descriptors, and who counts as one. Pure."""
