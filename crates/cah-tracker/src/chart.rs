//! Charts over time, drawn as SVG on the server: a rate as a line, what was done each day as bars.

use std::collections::BTreeMap;

use crate::{
    clock::Timestamp,
    store::{Day, Point},
    text::{compact, date, duration, grouped},
};

/// The drawing's own units; the page stretches it to the room that there is.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;

/// A chart, ready for the page.
pub(crate) struct Chart {
    /// The upper edge, as the `d` of a path; empty where there are bars.
    pub(crate) line: String,
    /// What is below it.
    pub(crate) area: String,
    pub(crate) bars: Vec<Bar>,
    /// The scale's end and middle.
    pub(crate) top: String,
    pub(crate) middle: String,
    /// How long ago the chart begins.
    pub(crate) since: String,
    /// The newest rate.
    pub(crate) now: String,
}

/// What was done on a day on which anything was.
pub(crate) struct Bar {
    /// Where the rectangle is.
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) width: String,
    pub(crate) height: String,
    /// The day and how much, in words.
    pub(crate) day: String,
    pub(crate) value: String,
}

/// Seconds of a day.
const DAY: Timestamp = 86_400;

/// Days of a chart: as many at least that a bar is no block, at most as a phone can show side by
/// side.
const FEWEST: Timestamp = 14;
const MOST: Timestamp = 90;

/// The part of its day that a bar fills.
const FILLED: f64 = 0.8;

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

    /// Draws how many jobs of all stages were finished each day, over some weeks up to
    /// today; nothing where none were ever.
    pub(crate) fn per_day(days: &[Day], now: Timestamp) -> Option<Self> {
        let today = now - now.rem_euclid(DAY);
        // A clock may have been ahead when the last one was finished.
        let last = days.last()?.begin.max(today);
        let first = days.first()?.begin;
        let first = first.clamp(last - (MOST - 1) * DAY, last - (FEWEST - 1) * DAY);
        let mut jobs: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for day in days.iter().filter(|day| day.begin >= first) {
            *jobs.entry(day.begin).or_default() += day.jobs;
        }
        let scale = Scale::new(first, last + DAY, jobs.values().map(|jobs| *jobs as f64));
        let whole = scale.x(first + DAY);
        let bar = |(begin, jobs): (&Timestamp, &u64)| Bar {
            x: coordinate(scale.x(*begin) + whole * (1.0 - FILLED) / 2.0),
            y: coordinate(scale.y(*jobs as f64)),
            width: coordinate(whole * FILLED),
            height: coordinate(HEIGHT - scale.y(*jobs as f64)),
            day: date(*begin),
            value: grouped(*jobs),
        };
        let bars = jobs.iter().map(bar).collect();
        let now = jobs.get(&last).copied().unwrap_or_default();
        Some(scale.chart(String::new(), String::new(), bars, now as f64))
    }

    fn of(steps: &[Step]) -> Option<Self> {
        let (first, last) = (steps.first()?, steps.last()?);
        let scale = Scale::new(first.from, last.to, steps.iter().map(|step| step.rate));
        let mut line = format!("M0 {:.1}", scale.y(first.rate));
        for step in steps {
            line.push_str(&format!(
                "V{:.1}H{:.1}",
                scale.y(step.rate),
                scale.x(step.to)
            ));
        }
        let area = format!("{line}V{HEIGHT}H0Z");
        Some(scale.chart(line, area, Vec::new(), last.rate))
    }
}

/// Where a time and a value are in the drawing.
struct Scale {
    from: Timestamp,
    to: Timestamp,
    top: f64,
}

impl Scale {
    fn new(from: Timestamp, to: Timestamp, values: impl Iterator<Item = f64>) -> Self {
        let top = round_up(values.fold(0.0, f64::max));
        Self { from, to, top }
    }

    fn x(&self, at: Timestamp) -> f64 {
        WIDTH * (at - self.from) as f64 / (self.to - self.from) as f64
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT * (1.0 - value / self.top)
    }

    fn chart(&self, line: String, area: String, bars: Vec<Bar>, now: f64) -> Chart {
        Chart {
            line,
            area,
            bars,
            top: compact(self.top),
            middle: compact(self.top / 2.0),
            since: duration(self.to - self.from),
            now: compact(now),
        }
    }
}

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
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

    fn day(begin: Timestamp, jobs: u64) -> Day {
        Day {
            begin: begin * DAY,
            stage: 0,
            jobs,
            pairs: 0,
        }
    }

    /// A chart's bars: day, value, x, y, width, height.
    fn bars(chart: &Chart) -> Vec<[&str; 6]> {
        let bars = chart.bars.iter();
        bars.map(|bar| {
            [
                &bar.day,
                &bar.value,
                &bar.x,
                &bar.y,
                &bar.width,
                &bar.height,
            ]
        })
        .map(|bar| bar.map(String::as_str))
        .collect()
    }

    #[test]
    fn each_day_with_jobs_is_a_bar() {
        assert!(Chart::per_day(&[], 0).is_none());
        let chart = Chart::per_day(&[day(10, 1), day(10, 1), day(13, 1)], 13 * DAY + 5).unwrap();
        assert_eq!(
            bars(&chart),
            [
                ["1970-01-11", "2", "721.4", "0.0", "57.1", "200.0"],
                ["1970-01-14", "1", "935.7", "100.0", "57.1", "100.0"],
            ]
        );
        assert_eq!((chart.now.as_str(), chart.since.as_str()), ("1", "14 d"));
    }

    #[test]
    fn only_the_last_days_are_bars() {
        let days = [day(-9_000_000_000, 1), day(10, 7), day(500, 3)];
        let chart = Chart::per_day(&days, 501 * DAY).unwrap();
        let shown: Vec<&str> = bars(&chart).into_iter().map(|bar| bar[1]).collect();
        assert_eq!((shown, chart.since.as_str()), (vec!["3"], "90 d"));
        assert_eq!(chart.now, "0");
        // Of a clock that was ahead, and of one that is wrong.
        let chart = Chart::per_day(&[day(10, 1), day(9_000_000_000, 1)], 10 * DAY).unwrap();
        assert_eq!(bars(&chart)[0][0], "?");
        // Nothing of late.
        let chart = Chart::per_day(&[day(10, 1)], 500 * DAY).unwrap();
        assert_eq!((chart.bars.len(), chart.top.as_str()), (0, "1"));
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
