"""One decoder per family of file formats, and what they share; ``zsad.data.decode`` chooses among them."""
