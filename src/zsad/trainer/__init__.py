"""One loop that trains every method: seeded, resumable to the bit, and with frozen work done once."""
