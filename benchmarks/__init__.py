"""Speed, each as a ratio against a named peer or against the arithmetic, both timed in the same run."""
