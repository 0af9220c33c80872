"""Models of TransformerLens, InterpBench and tracr in, and ours out."""
