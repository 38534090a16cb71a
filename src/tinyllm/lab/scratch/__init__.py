"""Learning machines from scratch: NumPy and nothing else.

Read in this order: perceptron, scalar, tensor, nets, gradients, backprop, bpe, gpt. The rest of the lab uses
torch; these show what torch does.
"""
