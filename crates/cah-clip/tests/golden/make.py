"""Makes every golden file of cah-clip: run `python make.py` with pillow, numpy, torch, transformers and ftfy.

What the Rust tests compare with is written by the software that has to be equalled: Pillow decodes and
resizes, transformers preprocesses, tokenises and embeds. The seeds are fixed, so that a second run writes the
same files.
"""

import decode
import models
import preprocess
import tokens

if __name__ == "__main__":
    decode.make()
    preprocess.make()
    tokens.make()
    models.make()
