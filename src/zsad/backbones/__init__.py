"""Frozen CLIP towers: architectures, weights in every published layout, tokenizer, and a forward open between blocks."""
