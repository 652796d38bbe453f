//! A random generator whose sequence never changes, so that a seed names the
//! same web and the same training set for ever.

/// SplitMix64 (Steele, Lea and Flood 2014): tiny, fast, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts the sequence that `seed` names.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts the `index`-th of many independent sequences under one seed.
    pub fn nth(seed: u64, index: u64) -> Self {
        let mut outer = Self(seed);
        let mut inner = Self(outer.bits() ^ index);
        Self(inner.bits())
    }

    /// Draws 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Draws a number in `0..bound`.
    ///
    /// # Panics
    /// When `bound` is 0: there is nothing to draw.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "cannot draw from nothing");
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Draws a number in `[0, 1)`.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Draws a number in `[low, high)`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Says yes in a share `probability` of the calls.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Draws one of `choices`.
    ///
    /// # Panics
    /// When there are no choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Puts `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Scatters the bits of `z`: what turns SplitMix's counter into noise.
pub(super) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_is_the_published_one() {
        let mut rng = Rng::new(1_234_567);
        let drawn = [rng.bits(), rng.bits(), rng.bits()];
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn draws_stay_in_bounds_and_reach_both_ends() {
        let mut rng = Rng::new(5);
        let draws: Vec<usize> = (0..200).map(|_| rng.below(3)).collect();
        assert!((0..3).all(|n| draws.contains(&n)));
        assert!((0..200).all(|_| (0.0..1.0).contains(&rng.unit())));
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u8> = (0..20).collect();
        Rng::new(9).shuffle(&mut items);
        assert_ne!(items, (0..20).collect::<Vec<u8>>());
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<u8>>());
    }
}
