"""Makes every golden file of cah-clip: run `python make.py` with pillow, numpy, torch, transformers,
ftfy and open_clip_torch.

What the Rust tests compare with is written by the software that has to be equalled: Pillow decodes and
resizes, transformers preprocesses, tokenises and embeds. The seeds are fixed, so that a second run writes the
same files.
"""

import decode
import models
import preprocess
import tokens
import vocabulary

if __name__ == "__main__":
    decode.make()
    preprocess.make()
    tokens.make()
    vocabulary.make()
    models.make()
