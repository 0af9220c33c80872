"""Models: the hooked twin, TransformerLens in and out, tracr in. Import from the modules."""
