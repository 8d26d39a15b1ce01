"""What speaks to the other brokers: links, their connections, pushes as bytes, signatures."""
