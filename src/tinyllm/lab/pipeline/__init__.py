"""One dial: from text to a chat model that calls a calculator, every choice following from its depth.

`stages.run` does all of it in the folder of a run: tokenizer, pre-training, mid-training, fine-tuning,
reinforcement learning, evaluation, chat. The stages are those of nanochat (Karpathy 2025), at the size of a
laptop; the model, the trainer, the tokenizer and the folder are the lab's own.
"""
