//! A sketch of quantiles with a stated error.

use std::fmt;

/// The relative error of a quantile: less than 0.8 %.
pub const RELATIVE_ERROR: f64 = 1.0 / 128.0;

/// A bucket's number is the exponent of a value and the first six bits of its mantissa: 64 buckets
/// from each power of two to the next, so that the middle of a bucket is within
/// [`RELATIVE_ERROR`] of every value in it.
const BUCKET_BITS: u32 = f64::MANTISSA_DIGITS - 1 - 6;

/// Smaller magnitudes count as 0, larger ones as this: it bounds the number of buckets.
const SMALLEST: f64 = 1e-6;
const LARGEST: f64 = 1e12;

/// The distribution of a stream of numbers in bounded memory (a DDSketch whose buckets divide each
/// power of two evenly: no logarithm for each value). Two sketches can be merged without any loss.
///
/// A quantile differs by at most [`RELATIVE_ERROR`] from the same quantile of all values, for
/// magnitudes from 1e-6 to 1e12; larger ones count as 1e12. `min`, `max`, `mean` and `count` are
/// exact.
///
/// ```
/// use satellite_monitoring::Sketch;
///
/// let mut latency = Sketch::default();
/// for ms in 1..=1000 {
///     latency.insert(f64::from(ms));
/// }
/// let p95 = latency.quantile(0.95);
/// assert!((p95 - 950.05).abs() <= 950.05 * 0.01);
/// assert_eq!((latency.count(), latency.max()), (1000, 1000.0));
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Sketch {
    positive: Buckets,
    negative: Buckets,
    zeros: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// Counts of consecutive buckets.
#[derive(Clone, Default, PartialEq)]
struct Buckets {
    first: i32,
    counts: Vec<u64>,
}

impl Sketch {
    /// Adds a value; NaN and infinities are ignored.
    pub fn insert(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        // Sums stay finite.
        let value = value.clamp(-LARGEST, LARGEST);
        self.widen(value, value);
        self.count += 1;
        self.sum += value;
        let magnitude = value.abs();
        match magnitude < SMALLEST {
            true => self.zeros += 1,
            false if value > 0.0 => self.positive.add(index(magnitude), 1),
            false => self.negative.add(index(magnitude), 1),
        }
    }

    /// Adds all values of another sketch.
    pub fn merge(&mut self, other: &Sketch) {
        if other.count == 0 {
            return;
        }
        self.widen(other.min, other.max);
        self.count += other.count;
        self.sum += other.sum;
        self.zeros += other.zeros;
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
    }

    /// No value is NaN: comparisons suffice.
    fn widen(&mut self, min: f64, max: f64) {
        let is_first = self.count == 0;
        if is_first || min < self.min {
            self.min = min;
        }
        if is_first || max > self.max {
            self.max = max;
        }
    }

    /// The quantile, 0 to 1, interpolated between the two nearest values; 0 without values.
    pub fn quantile(&self, q: f64) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let position = q.clamp(0.0, 1.0) * (self.count - 1) as f64;
        let low = position.floor();
        let (below, above) = (self.at(low as u64), self.at(position.ceil() as u64));
        below + (above - below) * (position - low)
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The mean; 0 without values.
    pub fn mean(&self) -> f64 {
        match self.count {
            0 => 0.0,
            count => self.sum / count as f64,
        }
    }

    /// The largest value; 0 without values.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// The smallest value; 0 without values.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// The value of this rank, counted from 0 in ascending order.
    fn at(&self, rank: u64) -> f64 {
        if rank == 0 {
            return self.min;
        }
        if rank + 1 >= self.count {
            return self.max;
        }
        let negatives = self.negative.total();
        let value = match rank.checked_sub(negatives) {
            // The most negative values come first: the largest magnitudes.
            None => -middle(self.negative.bucket_of(negatives - 1 - rank)),
            Some(rank) => match rank.checked_sub(self.zeros) {
                None => 0.0,
                Some(rank) => middle(self.positive.bucket_of(rank)),
            },
        };
        value.clamp(self.min, self.max)
    }
}

impl Buckets {
    fn add(&mut self, index: i32, more: u64) {
        if self.counts.is_empty() {
            self.first = index;
        }
        if index < self.first {
            let missing = (self.first - index) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = index;
        }
        let at = (index - self.first) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += more;
    }

    fn merge(&mut self, other: &Buckets) {
        for (index, &count) in (other.first..).zip(&other.counts) {
            if count > 0 {
                self.add(index, count);
            }
        }
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bucket with the value of this rank.
    fn bucket_of(&self, rank: u64) -> i32 {
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen > rank
        });
        self.first + at.unwrap_or(self.counts.len().saturating_sub(1)) as i32
    }
}

/// The bucket of a positive magnitude.
fn index(magnitude: f64) -> i32 {
    (magnitude.to_bits() >> BUCKET_BITS) as i32
}

/// The value within [`RELATIVE_ERROR`] of everything in a bucket.
fn middle(index: i32) -> f64 {
    let half = 1 << (BUCKET_BITS - 1);
    f64::from_bits((index as u64) << BUCKET_BITS | half)
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sketch")
            .field("count", &self.count)
            .field("min", &self.min)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_values_have_a_bounded_number_of_buckets() {
        let mut sketch = Sketch::default();
        for exponent in -308..=308 {
            for sign in [1.0, -1.0] {
                sketch.insert(sign * 1.7 * 10_f64.powi(exponent));
            }
        }
        let most = (LARGEST / SMALLEST).log2() * 64.0 + 2.0;
        for buckets in [&sketch.positive, &sketch.negative] {
            assert!(
                buckets.counts.len() as f64 <= most,
                "{}",
                buckets.counts.len()
            );
        }
    }
}
