"""What is explained, and how: known on both sides of the sandbox, so nothing is imported here."""

METHODS = ("occlusion", "integrated_gradients")
# Tokens of a text, and texts of a request: each token costs a pass of the network.
MOST_TOKENS = 128
MOST_INPUTS = 8
