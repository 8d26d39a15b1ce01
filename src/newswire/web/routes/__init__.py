"""The routes of the HTTP surface, a Flask blueprint a matter."""
