"""The lab: where neurons are built, trained and exported.

An island: it imports nothing of the runtime, and the runtime nothing of it. What leaves it is a file
(GGUF or safetensors) and a card that says how the file was made.
"""
