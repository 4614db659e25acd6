"""Frozen CLIP towers: architectures, weights in every published layout, tokenizer, a forward open between blocks."""
