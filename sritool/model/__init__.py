"""The generator p(x|z), the encoder, and the gradients that inference needs from them."""
