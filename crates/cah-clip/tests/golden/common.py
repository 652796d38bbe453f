"""What the generators share."""

import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def scene(width, height, seed):
    """An image that the Rust tests compute too (tests/it/scene.rs): waves, edges and noise, in whole numbers."""
    y, x = np.mgrid[0:height, 0:width].astype(np.uint32)
    channels = []
    for c in range(3):
        period = np.uint32(23 + 14 * c + seed % 7)
        wave = (x * np.uint32(3 + c) + y * np.uint32(5 - c)) % (2 * period)
        wave = np.where(wave < period, wave, 2 * period - wave) * np.uint32(160) // period
        edge = (((x // np.uint32(17 + c)) + (y // np.uint32(11))) % 2) * np.uint32(40)
        h = x * np.uint32(0x9E3779B1) + y * np.uint32(0x85EBCA77) + np.uint32((seed * 3 + c) * 0x27D4EB2F & 0xFFFFFFFF)
        h ^= h >> np.uint32(15)
        h *= np.uint32(0x2C1B3C6D)
        h ^= h >> np.uint32(12)
        noise = h % np.uint32(56)
        channels.append((wave + edge + noise).astype(np.uint8))
    return np.stack(channels, axis=-1)
