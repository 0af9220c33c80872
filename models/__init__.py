"""Models: trained ones and certificates; TransformerLens, tracr and InterpBench in and out."""
