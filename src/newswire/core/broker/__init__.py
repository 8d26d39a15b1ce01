"""What happens: events and what a broker decides about them. Imports the other wings; none of them imports it."""
