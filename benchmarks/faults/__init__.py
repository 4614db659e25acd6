"""Commands that are killed before every file operation, and given again."""
