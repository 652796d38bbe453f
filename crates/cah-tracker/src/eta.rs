//! When the project will be done, as the public tracker words it.

use crate::{clock::Timestamp, store::Point};

/// The intervals whose mean counts.
pub(crate) const INTERVALS: u32 = 10;

/// The text while nothing can be said.
const CALCULATING: &str = "Calculating...";

/// The text at the end.
const FINISHED: &str = "Finished";

/// Foretells from the points of the series, the oldest first, how long `remaining` jobs take.
///
/// Intervals of more than twice the usual length (`interval`, in seconds) are left out: the
/// tracker was not running.
pub(crate) fn text(points: &[Point], total: u64, closed: u64, interval: i64) -> String {
    if total > 0 && closed >= total {
        return FINISHED.into();
    }
    match jobs_per_second(points, interval) {
        Some(rate) => spell((total.saturating_sub(closed) as f64 / rate) as Timestamp),
        None => CALCULATING.into(),
    }
}

fn jobs_per_second(points: &[Point], interval: i64) -> Option<f64> {
    let recent = &points[points.len().saturating_sub(INTERVALS as usize + 1)..];
    let (mut jobs, mut seconds) = (0, 0);
    for pair in recent.windows(2) {
        let length = pair[1].at - pair[0].at;
        if length <= interval.saturating_mul(2) {
            jobs += pair[1].closed.saturating_sub(pair[0].closed);
            seconds += length;
        }
    }
    (jobs > 0 && seconds > 0).then(|| jobs as f64 / seconds as f64)
}

/// `1 day, 3 hours, 2 minutes and 5 seconds`: from the largest unit that is not zero down.
fn spell(seconds: Timestamp) -> String {
    const UNITS: [(&str, i64); 5] = [
        ("year", 31_536_000),
        ("day", 86_400),
        ("hour", 3_600),
        ("minute", 60),
        ("second", 1),
    ];
    let mut rest = seconds.max(0);
    let mut parts = Vec::new();
    for (unit, length) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 || !parts.is_empty() || length == 1 {
            let plural = if count == 1 { "" } else { "s" };
            parts.push(format!("{count} {unit}{plural}"));
        }
    }
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(closed: &[u64]) -> Vec<Point> {
        let point = |(i, closed): (usize, &u64)| Point {
            at: 1_000 + 900 * i as i64,
            closed: *closed,
            pairs: 0,
        };
        closed.iter().enumerate().map(point).collect()
    }

    #[test]
    fn durations_are_spelt_as_the_public_tracker_does() {
        assert_eq!(spell(0), "0 seconds");
        assert_eq!(spell(61), "1 minute and 1 second");
        assert_eq!(
            spell(86_400 + 3 * 3_600 + 125),
            "1 day, 3 hours, 2 minutes and 5 seconds"
        );
        assert_eq!(
            spell(31_536_000),
            "1 year, 0 days, 0 hours, 0 minutes and 0 seconds"
        );
    }

    #[test]
    fn the_mean_of_ten_intervals_counts() {
        assert_eq!(text(&points(&[]), 10, 0, 900), CALCULATING);
        assert_eq!(text(&points(&[0, 0]), 10, 0, 900), CALCULATING);
        assert_eq!(
            text(&points(&[0, 9]), 18, 9, 900),
            "15 minutes and 0 seconds"
        );
        assert_eq!(text(&points(&[0, 9]), 9, 9, 900), FINISHED);
        assert_eq!(text(&[], 0, 0, 900), CALCULATING);
        // One slow interval, then ten fast ones: the slow one has left the mean.
        let mut fast: Vec<u64> = vec![0, 1];
        fast.extend((1..=10).map(|i| 1 + i * 90));
        assert_eq!(
            text(&points(&fast), 1_801, 901, 900),
            "2 hours, 30 minutes and 0 seconds"
        );
    }

    #[test]
    fn a_night_without_the_tracker_does_not_count() {
        let mut points = points(&[0, 9, 18]);
        points[2].at += 100_000;
        assert_eq!(text(&points, 18, 9, 900), "15 minutes and 0 seconds");
    }
}
