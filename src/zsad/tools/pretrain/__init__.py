"""The recipe of the embedded backbone: a small CLIP that distils a CNN, reads captions, and sees drawn defects."""
