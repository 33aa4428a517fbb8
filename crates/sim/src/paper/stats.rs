//! Means over seeds, and how sure they are.

/// The 97.5 % quantiles of Student's t with 1 to 30 degrees of freedom, as printed in any table.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same of the normal distribution.
const Z: f64 = 1.959_964;

/// The 97.5 % quantile of Student's t. Above 30 degrees of freedom by its expansion in 1/n, which is right to four
/// digits there; `None` without any.
#[must_use]
pub fn t_quantile(freedom: usize) -> Option<f64> {
    let at = freedom.checked_sub(1)?;
    if let Some(value) = T.get(at) {
        return Some(*value);
    }
    let n = freedom as f64;
    let z3 = Z.powi(3);
    Some(Z + (z3 + Z) / (4.0 * n) + (5.0 * Z.powi(5) + 16.0 * z3 + 3.0 * Z) / (96.0 * n * n))
}

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The mean is within so much of the true one with 95 % confidence, by Student's t; `None` for fewer than two seeds.
    pub half_width: Option<f64>,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How many seeds.
    pub seeds: usize,
}

impl Estimate {
    /// Of one value a seed; `None` of no values.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let half_width = t_quantile(n - 1).map(|t| {
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            t * (variance / n as f64).sqrt()
        });
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { mean, half_width, min, max, seeds: n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_by_hand() {
        // Mean 3, variance 2.5, t(4) = 2.776: 2.776·√(2.5/5).
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((estimate.mean - 3.0).abs() < 1e-12 && (estimate.half_width.unwrap() - 1.962_93).abs() < 1e-4);
        assert_eq!((estimate.min, estimate.max, estimate.seeds), (1.0, 5.0, 5));
        assert_eq!(Estimate::of(&[7.0]).unwrap().half_width, None);
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[2.0; 3]).unwrap().half_width, Some(0.0));
    }

    #[test]
    fn quantiles_fall_towards_the_normal_ones() {
        assert_eq!((t_quantile(0), t_quantile(1)), (None, Some(12.706)));
        let all: Vec<f64> = (1..200).filter_map(t_quantile).collect();
        assert!(all.windows(2).all(|pair| pair[0] > pair[1]) && all[198] > Z);
        // t(40) = 2.0211, t(120) = 1.9799.
        assert!((t_quantile(40).unwrap() - 2.0211).abs() < 2e-4 && (t_quantile(120).unwrap() - 1.9799).abs() < 2e-4);
    }
}
