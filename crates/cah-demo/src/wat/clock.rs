//! When the mini web was crawled: always on the same morning, so that a seed fixes every byte.

/// A second of Monday, 23 November 2026, counted from midnight UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(u32);

impl Moment {
    /// The crawl's begin.
    pub(super) const CRAWL: Self = Self(4 * 3_600);
    /// When the WAT was made of the WARC.
    pub(super) const EXTRACTION: Self = Self(23 * 3_600);

    /// A page takes a second. A crawl of a whole day starts the day again.
    pub(super) fn advance(&mut self) {
        self.0 = (self.0 + 1) % (24 * 3_600);
    }

    /// `2026-11-23T04:00:00Z`
    pub(super) fn warc(self) -> String {
        format!("2026-11-23T{}Z", self.time())
    }

    /// `Mon, 23 Nov 2026 04:00:00 GMT`
    pub(super) fn http(self) -> String {
        format!("Mon, 23 Nov 2026 {} GMT", self.time())
    }

    fn time(self) -> String {
        format!(
            "{:02}:{:02}:{:02}",
            self.0 / 3_600,
            self.0 / 60 % 60,
            self.0 % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_passes() {
        let mut moment = Moment::CRAWL;
        moment.advance();
        assert_eq!(moment.warc(), "2026-11-23T04:00:01Z");
        assert_eq!(moment.http(), "Mon, 23 Nov 2026 04:00:01 GMT");
        moment.0 = 24 * 3_600 - 1;
        moment.advance();
        assert_eq!(moment.warc(), "2026-11-23T00:00:00Z");
    }
}
