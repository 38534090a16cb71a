"""TinyLLM: a network of small language models that answers like a larger one at a fraction of its cost."""
