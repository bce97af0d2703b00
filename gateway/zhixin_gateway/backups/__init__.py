"""Backups of a member's home: made while it works, put back into a new folder only."""
