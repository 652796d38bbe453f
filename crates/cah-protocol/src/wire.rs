//! What Crawling@Home calls are answered, as the public clients read it.

use serde::{Deserialize, Serialize};

use crate::{Piece, Shard, UnknownPiece};

/// The text of a call that was carried out.
pub const SUCCESS: &str = "success";

/// The text behind a 404: the tracker does not know the token.
pub const UNKNOWN_WORKER: &str = "The server could not find this worker. Did the worker time out?";

/// Answer of `GET /api/new`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewWorkerResponse {
    /// Two words and a number, `word-word-123`.
    pub display_name: String,
    /// The worker's secret for all further calls, a UUIDv4 as text unless a longer one was asked for.
    pub token: String,
    /// Where a CPU worker hands its results over; any text.
    pub upload_address: String,
    /// Seconds within which the tracker wants to hear from the worker while it holds a job; beyond
    /// the public protocol, so that trackers that do not send it are read as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u64>,
}

/// Answer of `POST /api/newJob`. Ids are decimal strings, as the reference sends them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResponse {
    /// Where the WAT file is; for a GPU worker what the CPU worker submitted.
    pub url: String,
    /// First sample id of the chunk.
    pub start_id: String,
    /// First sample id after the chunk.
    pub end_id: String,
    /// 0 or 1.
    pub shard: u8,
    /// The job number.
    pub number: u64,
}

/// A job that a tracker sent and that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedJob {
    /// An id that is no decimal number.
    #[error("`{0}` is no sample id")]
    Id(String),
    /// A piece that is neither 0 nor 1.
    #[error(transparent)]
    Piece(#[from] UnknownPiece),
    /// Numbers that no shard has: job 0, or ids that are not those of one chunk.
    #[error("job {number} has the sample ids {start_id} to {end_id}, which no shard has")]
    Numbers {
        /// The job number.
        number: u64,
        /// First sample id of the chunk.
        start_id: u64,
        /// First sample id after the chunk.
        end_id: u64,
    },
}

impl From<Shard> for JobResponse {
    fn from(shard: Shard) -> Self {
        Self {
            url: shard.url,
            start_id: shard.start_id.to_string(),
            end_id: shard.end_id.to_string(),
            shard: shard.piece.into(),
            number: shard.number,
        }
    }
}

impl TryFrom<JobResponse> for Shard {
    type Error = MalformedJob;

    fn try_from(job: JobResponse) -> Result<Self, MalformedJob> {
        let id = |text: String| text.parse().map_err(|_| MalformedJob::Id(text));
        let shard = Self {
            number: job.number,
            url: job.url,
            start_id: id(job.start_id)?,
            end_id: id(job.end_id)?,
            piece: Piece::try_from(job.shard)?,
        };
        match shard.is_numbered_as_a_chunk() {
            true => Ok(shard),
            false => Err(MalformedJob::Numbers {
                number: shard.number,
                start_id: shard.start_id,
                end_id: shard.end_id,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_wire() {
        let shard = Shard::of_chunk(4, Piece::Second, "http://h/x.wat.gz");
        let sent = serde_json::to_string(&JobResponse::from(shard.clone())).unwrap();
        assert_eq!(
            sent,
            r#"{"url":"http://h/x.wat.gz","start_id":"3000000","end_id":"4000000","shard":1,"number":8}"#
        );
        let read: JobResponse = serde_json::from_str(&sent).unwrap();
        assert_eq!(Shard::try_from(read), Ok(shard));
    }

    #[test]
    fn a_job_with_the_numbers_of_no_shard_is_refused() {
        let sound = JobResponse::from(Shard::of_chunk(4, Piece::Second, "u"));
        for (number, start_id, end_id) in [
            (0, "3000000", "4000000"),
            (8, "4000000", "3000000"),
            (8, "0", "18446744073709551615"),
            (8, "18446744073709000000", "18446744073709551615"),
        ] {
            let job = JobResponse {
                number,
                start_id: start_id.into(),
                end_id: end_id.into(),
                ..sound.clone()
            };
            let refused = Shard::try_from(job);
            assert!(matches!(refused, Err(MalformedJob::Numbers { .. })));
        }
    }
}
