//! Charts of a rate over time, drawn as SVG paths on the server.

use std::collections::BTreeMap;

use crate::{
    clock::Timestamp,
    store::{Day, Point},
    text::{compact, duration},
};

/// The drawing's own units; the page stretches it to the room that there is.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;

/// A chart, ready for the page.
pub(crate) struct Chart {
    /// The upper edge, as the `d` of a path.
    pub(crate) line: String,
    /// What is below it.
    pub(crate) area: String,
    /// The scale's end and middle.
    pub(crate) top: String,
    pub(crate) middle: String,
    /// How long ago the chart begins.
    pub(crate) since: String,
    /// The newest rate.
    pub(crate) now: String,
}

/// Seconds of a day.
const DAY: Timestamp = 86_400;

/// A rate that held for a while.
struct Step {
    from: Timestamp,
    to: Timestamp,
    rate: f64,
}

impl Chart {
    /// Draws how fast a counter grew between the points, the oldest first; nothing where there
    /// are fewer than two.
    pub(crate) fn per_hour(points: &[Point], counter: fn(&Point) -> u64) -> Option<Self> {
        Self::of(&steps(points, counter))
    }

    /// Draws how many jobs of all stages were finished each day, from the first of the days to
    /// today; nothing where there are none.
    pub(crate) fn per_day(days: &[Day], now: Timestamp) -> Option<Self> {
        let first = days.first()?.begin;
        let last = days.last()?.begin.max(now - now.rem_euclid(DAY));
        let mut jobs: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for day in days {
            *jobs.entry(day.begin).or_default() += day.jobs;
        }
        let begins = (first..=last).step_by(DAY as usize);
        let steps = begins.map(|begin| Step {
            from: begin,
            to: begin + DAY,
            rate: jobs.get(&begin).copied().unwrap_or_default() as f64,
        });
        Self::of(&steps.collect::<Vec<_>>())
    }

    fn of(steps: &[Step]) -> Option<Self> {
        let (first, last) = (steps.first()?, steps.last()?);
        let top = round_up(steps.iter().map(|step| step.rate).fold(0.0, f64::max));
        let span = (last.to - first.from) as f64;
        let x = |at: Timestamp| WIDTH * (at - first.from) as f64 / span;
        let y = |rate: f64| HEIGHT * (1.0 - rate / top);

        let mut line = format!("M0 {:.1}", y(first.rate));
        for step in steps {
            line.push_str(&format!("V{:.1}H{:.1}", y(step.rate), x(step.to)));
        }
        Some(Self {
            area: format!("{line}V{HEIGHT}H0Z"),
            line,
            top: compact(top),
            middle: compact(top / 2.0),
            since: duration(last.to - first.from),
            now: compact(last.rate),
        })
    }
}

fn steps(points: &[Point], counter: fn(&Point) -> u64) -> Vec<Step> {
    let mut steps: Vec<Step> = points
        .windows(2)
        .filter(|pair| pair[1].at > pair[0].at)
        .map(|pair| Step {
            from: pair[0].at,
            to: pair[1].at,
            rate: counter(&pair[1]).saturating_sub(counter(&pair[0])) as f64 * 3_600.0
                / (pair[1].at - pair[0].at) as f64,
        })
        .collect();
    // The present is seldom a whole interval after the last point; a rate over a few seconds
    // would jump about.
    if let [.., before, last] = steps.as_slice()
        && (last.to - last.from) * 5 < before.to - before.from
    {
        steps.pop();
    }
    steps
}

/// The next number of the form 1, 2 or 5 times a power of ten, at least 1.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|round| *round >= value)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: Timestamp, pairs: u64) -> Point {
        Point {
            at,
            closed: 0,
            pairs,
        }
    }

    #[test]
    fn a_chart_needs_an_interval() {
        assert!(Chart::per_hour(&[], |p| p.pairs).is_none());
        assert!(Chart::per_hour(&[point(0, 0)], |p| p.pairs).is_none());
        assert!(Chart::per_hour(&[point(0, 0), point(0, 9)], |p| p.pairs).is_none());
    }

    #[test]
    fn each_interval_is_a_step() {
        let points = [point(0, 0), point(3_600, 1_000), point(7_200, 1_500)];
        let chart = Chart::per_hour(&points, |p| p.pairs).unwrap();
        assert_eq!(chart.line, "M0 0.0V0.0H500.0V100.0H1000.0");
        assert_eq!(chart.area, "M0 0.0V0.0H500.0V100.0H1000.0V200H0Z");
        assert_eq!((chart.top.as_str(), chart.middle.as_str()), ("1k", "500"));
        assert_eq!(chart.now, "500");
    }

    #[test]
    fn days_without_jobs_are_steps_too() {
        let day = |begin, jobs| Day {
            begin: begin * DAY,
            stage: 0,
            jobs,
            pairs: 0,
        };
        assert!(Chart::per_day(&[], 0).is_none());
        let chart = Chart::per_day(&[day(10, 1), day(10, 1), day(13, 1)], 13 * DAY + 5).unwrap();
        assert_eq!(
            chart.line,
            "M0 0.0V0.0H250.0V200.0H500.0V200.0H750.0V100.0H1000.0"
        );
        assert_eq!((chart.now.as_str(), chart.since.as_str()), ("1", "4 d"));
    }

    #[test]
    fn a_moment_after_the_last_point_is_not_shown() {
        let points = [point(0, 0), point(900, 100), point(901, 100)];
        let chart = Chart::per_hour(&points, |p| p.pairs).unwrap();
        assert_eq!(chart.now, "400");
    }

    #[test]
    fn scales_end_on_round_numbers() {
        let rounded: Vec<f64> = [0.0, 1.0, 1.1, 4.0, 99.0, 501.0].map(round_up).into();
        assert_eq!(rounded, [1.0, 1.0, 2.0, 5.0, 100.0, 1_000.0]);
    }
}
