"""A method and a data set layout for zsad."""
