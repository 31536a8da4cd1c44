"""The model behind a peer: loading, sampling, training, and the state that it signs.

base      the ``Engine`` protocol and its values
engine    what engines over a loaded model do alike
native    the engine on plain torch
exact     the engine on exact arithmetic: ``exact_draw`` and ``exact_any`` draw and redo, ``exact_check`` compares,
          ``exact_warm`` compiles its kernels
fake      an engine without torch, for tests and simulations
load      a Hugging Face causal language model from a directory or name, or why not; ``base_files`` names its files
text      prompts to token ids, token ids to text
generate  the sampling loop; ``sample`` draws one token, ``cache`` holds keys and values
packing   log-probabilities of given completions, one prompt computed for its whole group; ``frozen_head`` without a
          tensor of all logits, where the output matrix is not trained
state     hash, ship, save and load what training changes; ``disk`` replaces files in one step
"""
