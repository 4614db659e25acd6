"""For the makers of the package: training the embedded backbone, and the trained heads that come with it."""
