"""Long work: how far it is, its processes and threads, and its runs at Weights & Biases."""
