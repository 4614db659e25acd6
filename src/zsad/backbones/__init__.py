"""Frozen CLIP towers: architectures, weights in every layout, tokenizer, a forward pass that is open between blocks."""
