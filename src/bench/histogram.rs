//! A histogram of latencies: fixed memory, about one percent of error, any range. Knows nothing of where they come from.

/// Buckets per power of two; the relative error is at most 1/128.
const STEPS: usize = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Counts of nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = vec![0; (64 - STEP_BITS as usize + 1) * STEPS];
        Histogram { buckets, count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn add(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that `share` (0 to 1) of all values do not exceed; 0 when there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(index).min(self.max);
            }
        }
        0
    }

    /// Microseconds: p50, p90, p99, p99.9, largest, mean.
    pub fn summary(&self) -> serde_json::Value {
        let us = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        let mean = if self.count == 0 { 0 } else { (self.sum / u128::from(self.count)) as u64 };
        serde_json::json!({
            "count": self.count,
            "min": us(if self.count == 0 { 0 } else { self.min }),
            "mean": us(mean),
            "p50": us(self.quantile(0.5)),
            "p90": us(self.quantile(0.9)),
            "p99": us(self.quantile(0.99)),
            "p999": us(self.quantile(0.999)),
            "max": us(self.max),
        })
    }
}

fn bucket(nanos: u64) -> usize {
    let magnitude = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEP_BITS + 1);
    magnitude as usize * STEPS + (nanos >> magnitude) as usize
}

fn upper(index: usize) -> u64 {
    let magnitude = (index / STEPS).saturating_sub(1) as u32;
    let step = (index - magnitude as usize * STEPS) as u64;
    (step << magnitude) + ((1 << magnitude) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_ends_at_most_a_hundredth_above_it() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            for near in [value - 1, value, value + 1, value + value / 3] {
                let end = upper(bucket(near));
                assert!(end >= near && end - near <= near / 100, "{near} {end}");
            }
            value *= 2;
        }
    }

    #[test]
    fn quantiles_of_a_known_series() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        for value in 1..=10_000 {
            histogram.add(value * 1000);
        }
        let near = |found: u64, wanted: u64| found.abs_diff(wanted) <= wanted / 100;
        assert!(near(histogram.quantile(0.5), 5_000_000) && near(histogram.quantile(0.999), 9_990_000));
        assert_eq!(histogram.quantile(1.0), 10_000_000);
        assert_eq!(histogram.count(), 10_000);
    }
}
