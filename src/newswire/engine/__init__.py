"""Keeps and shares the ops: threads and disk live here. Above this package only `seam` is known."""
